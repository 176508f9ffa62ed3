use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kser_core::store::StoreHealth;
use kser_core::{Cancellation, Error, Health, HeldPartition};
use serde::{Serialize, Serializer};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle};

use super::active::{ActiveSet, RunningAttempt, RunningTask};
use super::graceful_leave::GracefulLeave;
use super::options::{LEAVE_TIMEOUT, leave_timeout};
use super::paused::Paused;
use super::presence_health::{Announcements, PresenceHealth};
use crate::encryption_health::EncryptionHealth;

/// Stops, pauses and looks at a consumer. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct ConsumerHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stop: Cancellation,
    paused: Paused,
    running: ActiveSet<RunningAttempt>,
    announcements: Announcements,
    /// Has the consumer announce itself before its time.
    changed: Notify,
    health: Mutex<(ConsumerHealth, Option<Instant>)>,
    state: Mutex<ConsumerState>,
    graceful_leave: Mutex<Option<Arc<GracefulLeave>>>,
}

/// The state of a consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConsumerState {
    /// The consumer is not run yet.
    #[default]
    Created,
    /// The consumer was run or spawned, and its subscriptions are not made yet.
    Starting,
    /// The consumer receives, unless it is paused.
    Running,
    /// The consumer was asked to stop, and has ended.
    Stopped,
    /// The consumer has ended with an error, which was logged.
    Failed {
        /// The error, with its causes.
        error: String,
    },
    /// The future of the consumer was dropped before it had ended, which is a crash.
    Aborted,
}

/// The health of a consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConsumerHealth {
    /// The state of the consumer. Once it has ended, the other fields are as they were at the end.
    pub state: ConsumerState,
    /// The health of the transport, one for each group.
    pub transport: Vec<Health>,
    /// The number of held records: running, waiting, parked, and handed in to a transport that has not reported their end yet.
    pub held: usize,
    /// The size of the held records in bytes.
    pub held_bytes: usize,
    /// The number of parked records: the held ones that wait in memory for a moment, such as that of a retry.
    pub parked: usize,
    /// The partitions with deliveries that are held because their outputs cannot be published, and the reason. Their keys wait,
    /// and so do the committed offsets of the partitions; other keys go on.
    pub unsettled: Vec<HeldPartition>,
    /// The health of the state store; `None` without a store.
    pub store: Option<StoreHealth>,
    /// The encryption of the client; `None` where it does not encrypt.
    pub encryption: Option<EncryptionHealth>,
    /// The announcements to operators; `None` before the first one, and where the consumer does not announce itself.
    pub presence: Option<PresenceHealth>,
    /// Whether the consumer is paused: it takes no new deliveries.
    pub paused: bool,
    /// Whether the consumer was asked to stop: it takes no new deliveries, and finishes the running ones.
    pub stopping: bool,
    /// The time since the consumer updated these figures, which a consumer that runs does about once a second, whether its
    /// backend answers or not. `None` before the first time.
    #[serde(rename = "updated_ms", serialize_with = "millis")]
    pub updated: Option<Duration>,
}

impl ConsumerHandle {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            stop: Cancellation::default(),
            paused: Paused::new(),
            running: ActiveSet::default(),
            announcements: Announcements::default(),
            changed: Notify::new(),
            health: Mutex::default(),
            state: Mutex::default(),
            graceful_leave: Mutex::default(),
        }))
    }

    /// Requests a graceful shutdown: the consumer takes no new deliveries and finishes the running ones. A second request
    /// changes nothing.
    pub fn request_stop(&self) {
        self.0.stop.cancel();
    }

    /// Pauses the consumer: it takes no new deliveries, and begins no further step of a run, until [`resume`](Self::resume). Held
    /// deliveries go on.
    pub fn pause(&self) {
        self.0.paused.set(true);
    }

    /// Takes deliveries again.
    pub fn resume(&self) {
        self.0.paused.set(false);
    }

    /// Lists the running attempts, the oldest first.
    #[must_use]
    pub fn running(&self) -> Vec<RunningTask> {
        let running = self.0.running.list().into_iter();
        running.map(|attempt| attempt.task()).collect()
    }

    /// Tells how the consumer was, at most a second ago.
    #[must_use]
    pub fn health(&self) -> ConsumerHealth {
        let health = self.0.health.lock();
        let (mut health, updated) = health.unwrap_or_else(PoisonError::into_inner).clone();
        health.updated = updated.map(|updated| updated.elapsed());
        health.paused = self.0.paused.is_paused();
        health.stopping = self.0.stop.is_cancelled();
        health.state = self.state();
        health.presence = self.0.announcements.health();
        health
    }

    /// Tells whether the consumer runs, or how it has ended.
    #[must_use]
    pub fn state(&self) -> ConsumerState {
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs which handlers are dropped, since they did not end when they were cancelled.
    pub(super) fn name_dropped(&self) {
        for task in self.running() {
            tracing::warn!(target: "kser", "a handler is dropped: {} did not end when it was cancelled; its attempt is given back", task_name(&task));
        }
    }

    /// Logs which handlers hold their thread although they were dropped.
    pub(super) fn name_left_behind(&self) {
        for task in self.running() {
            tracing::error!(target: "kser", "a task is left behind: {} does not end", task_name(&task));
        }
    }

    pub(super) fn set_health(&self, health: ConsumerHealth) {
        #[expect(
            clippy::disallowed_methods,
            reason = "a consumer that is stuck is told by real time"
        )]
        let now = Instant::now();
        *self.0.health.lock().unwrap_or_else(PoisonError::into_inner) = (health, Some(now));
    }

    pub(super) fn set_state(&self, state: ConsumerState) {
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Sets the graceful leave of the groups; `None` when the consumer has ended.
    pub(super) fn set_graceful_leave(&self, graceful_leave: Option<GracefulLeave>) {
        *self.graceful_leave() = graceful_leave.map(Arc::new);
    }

    /// Releases the attempts of stored runs, and leaves the groups at once.
    pub(super) async fn leave_gracefully(&self) {
        let graceful_leave = self.graceful_leave().clone();
        if let Some(graceful_leave) = graceful_leave {
            graceful_leave.leave(self.leave_timeout()).await;
        }
    }

    /// Returns the time limit for leaving the groups, which are all left at once.
    pub(super) fn leave_timeout(&self) -> Duration {
        let groups = self.health().transport;
        let limits = groups.iter().map(leave_timeout);
        limits.max().unwrap_or(LEAVE_TIMEOUT)
    }

    fn graceful_leave(&self) -> MutexGuard<'_, Option<Arc<GracefulLeave>>> {
        let graceful_leave = self.0.graceful_leave.lock();
        graceful_leave.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stopping(&self) -> &Cancellation {
        &self.0.stop
    }

    pub(super) fn paused(&self) -> &Paused {
        &self.0.paused
    }

    pub(super) fn tasks(&self) -> &ActiveSet<RunningAttempt> {
        &self.0.running
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.0.changed
    }

    pub(super) fn announcements(&self) -> &Announcements {
        &self.0.announcements
    }
}

/// A consumer that works in the background. [`handle`](Self::handle) pauses it and looks at it.
#[derive(Debug)]
#[must_use = "bind it to a name: dropping it stops the consumer as a crash does"]
pub struct RunningConsumer {
    handle: ConsumerHandle,
    serving: JoinHandle<Result<(), Error>>,
}

impl RunningConsumer {
    pub(super) const fn new(
        handle: ConsumerHandle,
        serving: JoinHandle<Result<(), Error>>,
    ) -> Self {
        Self { handle, serving }
    }

    /// Shuts down gracefully: takes no new deliveries, finishes the running ones, leaves the group, and returns.
    ///
    /// On Kafka a named consumer keeps its place in the group, see [`Consumer::with_instance`](super::Consumer::with_instance).
    ///
    /// # Errors
    ///
    /// The error that ended the consumer, as from [`Consumer::run`](super::Consumer::run).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a crash, as dropping this is: the held records are redelivered.
    ///
    /// # Panics
    ///
    /// If the consumer has panicked.
    pub async fn stop(self) -> Result<(), Error> {
        self.handle.request_stop();
        self.join().await
    }

    /// Waits until the consumer has ended by itself, such as on a signal.
    ///
    /// # Errors
    ///
    /// The error that ended the consumer, as from [`Consumer::run`](super::Consumer::run).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a crash, as dropping this is: the held records are redelivered.
    ///
    /// # Panics
    ///
    /// If the consumer has panicked.
    pub async fn join(mut self) -> Result<(), Error> {
        join_result((&mut self.serving).await)
    }

    /// Ends the consumer as a crash does: the records that it holds are redelivered.
    pub fn kill(self) {
        drop(self);
    }

    /// Returns a handle that stops, pauses and inspects the consumer. It may outlive this value.
    #[must_use]
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }
}

impl Drop for RunningConsumer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Names a task in a log line.
fn task_name(task: &RunningTask) -> String {
    let longest = 200;
    let uuid = kser_core::log::clean(task.uuid.as_str(), longest);
    let entrypoint = kser_core::log::clean(task.entrypoint.as_str(), longest);
    format!("{entrypoint}[{uuid}]")
}

#[expect(
    clippy::ref_option,
    reason = "serde calls it with a reference to the field"
)]
fn millis<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_millis()).serialize(serializer)
}

fn join_result(ended: Result<Result<(), Error>, JoinError>) -> Result<(), Error> {
    ended.unwrap_or_else(|join| match join.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(Error::Closed),
    })
}
