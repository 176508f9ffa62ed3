use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use kser_core::{Error, Room, RunId, Subscription};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::engine::event::RunEvent;
use crate::payloads::Payloads;

/// An observer of the events of all runs that handles of this client wait for, through one subscription.
#[derive(Debug, Default)]
pub(crate) struct EventWatcher {
    watched: Mutex<WatchedRuns>,
    observing: tokio::sync::Mutex<Option<Observing>>,
}

/// The runs that are watched, while the subscription is alive.
#[derive(Debug, Default)]
struct WatchedRuns {
    alive: bool,
    runs: BTreeMap<RunId, watch::Sender<Seen>>,
}

/// The task that observes, which ends with its observer.
#[derive(Debug)]
struct Observing(JoinHandle<()>);

impl Drop for Observing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A watch on one run through its events.
#[derive(Debug)]
pub(crate) struct WatchedRun {
    observer: Arc<EventWatcher>,
    run: RunId,
    /// Always set until the watch is dropped.
    latest: Option<watch::Receiver<Seen>>,
}

/// The observed events of a run.
#[derive(Debug, Default)]
struct Seen {
    latest: Option<RunEvent>,
    /// The number of replays by this client whose events have not arrived yet: an end before them is an old one.
    expected: u32,
}

impl EventWatcher {
    /// Watches a run from now on. `subscribe` makes the subscription to the events, where there is none yet.
    pub(crate) async fn watch<F, S>(
        self: &Arc<Self>,
        run: &RunId,
        payloads: &Payloads,
        subscribe: F,
    ) -> Result<WatchedRun, Error>
    where
        F: Fn() -> S + Send + Sync,
        S: Future<Output = Result<Box<dyn Subscription>, Error>> + Send,
    {
        let latest = loop {
            self.begin(payloads, &subscribe).await?;
            // A subscription that has ended in between is replaced.
            if let Some(latest) = self.watched().watch(run) {
                break latest;
            }
        };
        Ok(WatchedRun {
            observer: Arc::clone(self),
            run: run.clone(),
            latest: Some(latest),
        })
    }

    /// Watches a run that a handle of this client watches, from its launch on; `None` when there is none.
    pub(crate) fn known(self: &Arc<Self>, run: &RunId) -> Option<WatchedRun> {
        let watched = self.watched();
        let latest = watched.runs.get(run).map(watch::Sender::subscribe)?;
        Some(WatchedRun {
            observer: Arc::clone(self),
            run: run.clone(),
            latest: Some(latest),
        })
    }

    /// Has the subscription in place before anything is published that it should see.
    async fn begin<F, S>(self: &Arc<Self>, payloads: &Payloads, subscribe: &F) -> Result<(), Error>
    where
        F: Fn() -> S + Send + Sync,
        S: Future<Output = Result<Box<dyn Subscription>, Error>> + Send,
    {
        let mut observing = self.observing.lock().await;
        let runs = observing.as_ref().is_some_and(|task| !task.0.is_finished());
        if runs && self.watched().alive {
            return Ok(());
        }
        let subscription = subscribe().await?;
        self.watched().alive = true;
        let task = tokio::spawn(observe(
            Arc::downgrade(self),
            payloads.clone(),
            subscription,
        ));
        *observing = Some(Observing(task));
        Ok(())
    }

    fn watched(&self) -> MutexGuard<'_, WatchedRuns> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe(&self, event: RunEvent) {
        let watched = self.watched();
        if let Some(sender) = watched.runs.get(&event.run) {
            sender.send_if_modified(|seen| {
                let wins = replaces(seen.latest.as_ref(), &event);
                if event.replay {
                    seen.expected = seen.expected.saturating_sub(1);
                }
                if wins {
                    seen.latest = Some(event);
                }
                wins
            });
        }
    }

    /// Ends all watches, because the subscription has ended. A later watch starts a new subscription.
    fn close(&self) {
        *self.watched() = WatchedRuns::default();
    }

    /// Notes that a replay of a run is published, or that its publishing failed. A wait for the run lasts until an end after
    /// the expected replays.
    pub(crate) fn expect_replay(&self, run: &RunId, expected: bool) {
        if let Some(sender) = self.watched().runs.get(run) {
            sender.send_modify(|seen| {
                seen.expected = match expected {
                    true => seen.expected + 1,
                    false => seen.expected.saturating_sub(1),
                };
            });
        }
    }
}

impl WatchedRuns {
    /// Watches a run from now on. `None` without a living subscription.
    fn watch(&mut self, run: &RunId) -> Option<watch::Receiver<Seen>> {
        let sender = self.alive.then(|| self.runs.entry(run.clone()))?;
        let sender = sender.or_insert_with(|| watch::Sender::new(Seen::default()));
        Some(sender.subscribe())
    }
}

/// The first end since the latest replay wins.
pub(crate) fn replaces(latest: Option<&RunEvent>, event: &RunEvent) -> bool {
    match latest {
        Some(latest) if latest.status.is_terminal() => event.replay,
        Some(latest) => event.replay || event.version >= latest.version,
        None => true,
    }
}

/// Receives events while the observer lives, and tries again after temporary errors.
async fn observe(
    observer: Weak<EventWatcher>,
    payloads: Payloads,
    mut subscription: Box<dyn Subscription>,
) {
    loop {
        let received = subscription.receive(Room::records(256)).await;
        let Some(observer) = observer.upgrade() else {
            return;
        };
        match received {
            Ok(deliveries) => {
                for delivery in deliveries {
                    let event = RunEvent::read(&delivery.record, &payloads).await;
                    let _ = delivery.ticket.settle(Vec::new()).await;
                    match event {
                        Ok(event) => observer.observe(event),
                        Err(error) => {
                            tracing::warn!(target: "kser", error = kser_core::log::report(&error), "reading an event failed; it is left out")
                        }
                    }
                }
            }
            Err(error) => {
                tracing::warn!(target: "kser", error = kser_core::log::report(&error), "receiving events failed");
                if !error.is_temporary() {
                    observer.close();
                    return;
                }
                drop(observer);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

impl WatchedRun {
    /// Waits for the end of the run.
    pub(crate) async fn ended(&self) -> Result<RunEvent, Error> {
        let mut latest = self.latest.clone().ok_or(Error::Closed)?;
        let ended = |seen: &Seen| {
            let end = seen
                .latest
                .as_ref()
                .filter(|event| event.status.is_terminal());
            seen.expected == 0 && end.is_some()
        };
        let seen = latest.wait_for(ended).await.map_err(|_| Error::Closed)?;
        seen.latest.clone().ok_or(Error::Closed)
    }
}

impl Clone for WatchedRun {
    fn clone(&self) -> Self {
        Self {
            observer: Arc::clone(&self.observer),
            run: self.run.clone(),
            latest: self.latest.clone(),
        }
    }
}

impl Drop for WatchedRun {
    fn drop(&mut self) {
        let mut watched = self.observer.watched();
        // Counted under the lock, so that of two that are dropped at once one is the last.
        drop(self.latest.take());
        let unwatched = |sender: &watch::Sender<_>| sender.receiver_count() == 0;
        if watched.runs.get(&self.run).is_some_and(unwatched) {
            watched.runs.remove(&self.run);
        }
    }
}
