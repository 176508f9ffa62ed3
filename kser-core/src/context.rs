use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::de::DeserializeOwned;
use tracing::Level;

use crate::log::{LogOptions, clean, is_enabled, line};
use crate::presence::TaskProgress;
use crate::{
    AwaitRun, Cancellation, Entrypoint, Message, Metadata, Name, Object, Outcome, Outgoing, Raw,
    RunId, Status, TaskError, TaskId, Topic,
};

/// The task that a handler runs, and the messages that the handler sends. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    uuid: TaskId,
    entrypoint: Name,
    run: Option<RunId>,
    step: Option<u32>,
    attempt: u32,
    fence: Option<u64>,
    previous: Outcome,
    metadata: Metadata,
    /// Made when it is asked for: a consumer sets its own.
    cancellation: OnceLock<Cancellation>,
    log: Option<Arc<LogOptions>>,
    ends_at_debug: bool,
    runs: Option<Arc<dyn AwaitRun>>,
    outputs: Mutex<Vec<Outgoing>>,
    /// Made at the first report, and shared with the copies.
    progress: OnceLock<Arc<Mutex<Option<TaskProgress>>>>,
}

impl Context {
    /// Makes the context of the first attempt at the task of `message`.
    #[must_use]
    pub fn new(message: &Message) -> Self {
        let envelope = message.metadata.envelope();
        Self(Arc::new(Inner {
            uuid: message.uuid.clone(),
            entrypoint: message.entrypoint.clone(),
            run: envelope.map(|envelope| envelope.run.clone()),
            step: envelope.map(|envelope| envelope.step),
            attempt: 1,
            fence: None,
            previous: message.result.clone(),
            metadata: message.metadata.user_fields(),
            cancellation: OnceLock::new(),
            log: None,
            ends_at_debug: false,
            runs: None,
            outputs: Mutex::default(),
            progress: OnceLock::new(),
        }))
    }

    /// Makes a context for calling a handler in a test.
    ///
    /// ```
    /// # use kser_core::{Context, Outcome};
    /// let ctx = Context::for_test().with_previous(Outcome::text("You made a 4"));
    /// assert_eq!(ctx.previous().message(), "You made a 4");
    /// assert_eq!(ctx.attempt(), 1);
    /// ```
    #[must_use]
    pub fn for_test() -> Self {
        let message = Message::new("task".into(), "test.Task".into(), Object::default());
        Self::new(&message)
    }

    /// Sets the run and the position of the step. [`new`](Self::new) reads both from the message, except for a launch,
    /// whose message does not name them.
    #[must_use]
    pub fn with_step(self, run: RunId, step: u32) -> Self {
        self.change(|inner| (inner.run, inner.step) = (Some(run), Some(step)))
    }

    /// Sets the number of the attempt, counted from 1.
    #[must_use]
    pub fn with_attempt(self, attempt: u32) -> Self {
        self.change(|inner| inner.attempt = attempt)
    }

    /// Sets the [`fence`](Self::fence), a number that no other attempt has; `None` where the state is not stored.
    #[must_use]
    pub fn with_fence(self, fence: Option<u64>) -> Self {
        self.change(|inner| inner.fence = fence)
    }

    /// Sets the request by which the handler is asked to stop.
    #[must_use]
    pub fn with_cancellation(self, cancellation: Cancellation) -> Self {
        self.change(|inner| inner.cancellation = cancellation.into())
    }

    /// Sets the options of the log.
    #[must_use]
    pub fn with_log(self, log: Arc<LogOptions>) -> Self {
        self.change(|inner| inner.log = Some(log))
    }

    /// Logs the end of the handler at DEBUG, since its caller logs the end of the step. The default is INFO for a success and
    /// ERROR for a failure.
    #[must_use]
    pub fn with_end_at_debug(self) -> Self {
        self.change(|inner| inner.ends_at_debug = true)
    }

    /// Sets the value that waits for runs, see [`result_of`](Self::result_of).
    #[must_use]
    pub fn with_runs(self, runs: Arc<dyn AwaitRun>) -> Self {
        self.change(|inner| inner.runs = Some(runs))
    }

    /// Sets the trace context, which the messages that the handler sends carry.
    #[must_use]
    pub fn with_traceparent(self, traceparent: &str) -> Self {
        self.change(|inner| {
            inner.metadata = std::mem::take(&mut inner.metadata).with_traceparent(traceparent);
        })
    }

    /// Sets the outcome of the step before.
    #[must_use]
    pub fn with_previous(self, previous: Outcome) -> Self {
        self.change(|inner| inner.previous = previous)
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        match Arc::get_mut(&mut self.0) {
            Some(inner) => change(inner),
            None => {
                let mut inner = self.0.copy();
                change(&mut inner);
                self.0 = Arc::new(inner);
            }
        }
        self
    }

    /// Returns the id of the task, which is the same on every attempt.
    #[must_use]
    pub fn uuid(&self) -> &TaskId {
        &self.0.uuid
    }

    /// Returns the entrypoint of the task, such as `dice.DiceRoll`.
    #[must_use]
    pub fn entrypoint(&self) -> &Name {
        &self.0.entrypoint
    }

    /// Returns the id of the run of which the task is a step.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        self.0.run.as_ref()
    }

    /// Returns the position of the task in its run, counted from 1; 0 is the build.
    #[must_use]
    pub fn step(&self) -> Option<u32> {
        self.0.step
    }

    /// Counts the attempts that the retry policy counts, this one included: 1, and one more after each that failed.
    ///
    /// An attempt that its process did not survive, or that a graceful stop gave back, does not count: the one in its place
    /// has the same number. Without a store a crash may also forget the failed ones before it. It is 1 again after a repair
    /// or a replay. So it makes no key for other systems: [`idempotency_key`](Self::idempotency_key) does, and
    /// [`fence`](Self::fence) never repeats.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Returns a fencing number, which grows with every attempt at a step of the run and never repeats, for systems that
    /// refuse a smaller number; `None` where the state is not stored.
    #[must_use]
    pub fn fence(&self) -> Option<u64> {
        self.0.fence
    }

    /// Returns an idempotency key for other systems, so that they do the work once however many attempts there are: the
    /// task's uuid.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        self.0.uuid.as_str()
    }

    /// Returns the outcome of the step before; a first step has an empty one.
    #[must_use]
    pub fn previous(&self) -> &Outcome {
        &self.0.previous
    }

    /// Reads the outcome of the step before as a `T`.
    ///
    /// # Errors
    ///
    /// A permanent [`TaskError`] when the outcome is not a `T`.
    pub fn previous_as<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        crate::params::read_previous(self.0.previous.data())
    }

    /// Returns a value of the sender's metadata.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&Raw> {
        self.0.metadata.get(name)
    }

    /// Returns the W3C trace context of the task.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.0.metadata.traceparent()
    }

    /// Says whether the task should stop: its run was cancelled, its delivery is revoked, or the consumer shuts down.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation().is_cancelled()
    }

    /// Waits until the task should stop.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn cancelled(&self) {
        self.cancellation().cancelled().await;
    }

    /// Returns the request by which the handler is asked to stop.
    #[must_use]
    pub fn cancellation(&self) -> &Cancellation {
        self.0.cancellation.get_or_init(Cancellation::default)
    }

    /// Logs `message` as `DiceRoll.RUNNING: dice.DiceRoll[872c…]: message`.
    pub fn log(&self, level: Level, message: impl Display) {
        if is_enabled(level) {
            let text = message.to_string();
            self.line(level, Status::Running.as_str(), None, Some(&text));
        }
    }

    /// Reports the progress of the handler to operators: `done` of `total`, such as 37 of 100 pages. A total of 0 is not known. It is
    /// cheap, and never fails the task: the consumer announces the latest report every five seconds.
    ///
    /// A number over the total counts as the total; a text is cut after 200 characters. Where messages are encrypted, operators
    /// see the numbers only.
    ///
    /// ```
    /// # use kser_core::Context;
    /// async fn print(ctx: &Context, pages: u64) {
    ///     for page in 0..pages {
    ///         ctx.progress(page, pages, "pages");
    ///         // Prints the page.
    ///     }
    /// }
    /// ```
    pub fn progress(&self, done: u64, total: u64, text: &str) {
        let latest = self.0.progress.get_or_init(Arc::default).lock();
        let mut latest = latest.unwrap_or_else(PoisonError::into_inner);
        *latest = Some(TaskProgress::new(done, total, text));
    }

    /// Returns the latest progress that the handler has reported.
    #[must_use]
    pub fn latest_progress(&self) -> Option<TaskProgress> {
        let latest = self.0.progress.get()?.lock();
        latest.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a task if this task succeeds, with the metadata of this task.
    ///
    /// # Errors
    ///
    /// A permanent [`TaskError`] when the params have no JSON form.
    pub fn send<P: Entrypoint>(&self, params: P) -> Result<TaskId, TaskError> {
        self.output::<P>(&params, None, None, false)
    }

    /// Sends a task to a topic, with a key, if this task succeeds.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and when the topic cannot have that name.
    pub fn send_to<P: Entrypoint>(
        &self,
        topic: impl AsRef<str>,
        key: Option<String>,
        params: P,
    ) -> Result<TaskId, TaskError> {
        let topic = Topic::new(topic).map_err(|error| TaskError::from(error).into_permanent())?;
        self.output::<P>(&params, Some(topic), key, false)
    }

    /// Launches an operation, if this task succeeds. The run begins later, so there is no handle yet.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn launch<P: Entrypoint>(&self, params: P) -> Result<RunId, TaskError> {
        self.output::<P>(&params, None, None, true).map(RunId::from)
    }

    /// Waits until a run has ended, and returns its outcome if it succeeded. The handler gives its place back while it
    /// waits, so that the run can go on in the same consumer; the time limit of the handler goes on. A wait by other
    /// means keeps the place, so that steps of the run may find none until the time limit.
    ///
    /// Where the state is carried, a run can be waited for as long as the handle that launched it on this client lives.
    ///
    /// # Errors
    ///
    /// A [`TaskError`] with the error of a run that failed or was cancelled, or when the run is unknown. A run that this
    /// handler [launches](Self::launch) is unknown, since it begins only after the handler has succeeded.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing for the run. The handler goes on without a place then.
    pub async fn result_of(&self, run: &RunId) -> Result<Outcome, TaskError> {
        let is_ours =
            |output: &Outgoing| output.launch && output.message.uuid.as_str() == run.as_str();
        if self.all_outputs().iter().any(is_ours) {
            let text =
                format!("operation {run} begins only after this task: it cannot wait for it");
            return Err(TaskError::new("NotLaunched", text).with_code(409));
        }
        let Some(runs) = &self.0.runs else {
            let text = "no consumer runs this task: it cannot wait for an operation";
            return Err(TaskError::new("NoConsumer", text).with_code(501));
        };
        runs.result_of(run).await.map_err(TaskError::from)
    }

    /// Returns the messages that the handler sends.
    #[must_use]
    pub fn outputs(&self) -> Vec<Outgoing> {
        self.all_outputs().clone()
    }

    /// Reads the messages that the handler sends, without a copy. The context cannot send meanwhile.
    pub fn with_outputs<T>(&self, read: impl FnOnce(&[Outgoing]) -> T) -> T {
        read(&self.all_outputs())
    }

    fn output<P: Entrypoint>(
        &self,
        params: &P,
        topic: Option<Topic>,
        key: Option<String>,
        launch: bool,
    ) -> Result<TaskId, TaskError> {
        let params =
            Object::new(params).map_err(|error| TaskError::from(error).into_permanent())?;
        let mut outputs = self.all_outputs();
        let index = u32::try_from(outputs.len()).unwrap_or(u32::MAX);
        let uuid = self.0.uuid.output(index);
        let mut message = Message::new(uuid.clone(), P::PATH.into(), params);
        message.metadata = self.0.metadata.clone();
        if index == 0 {
            // Most handlers send one message.
            outputs.reserve_exact(1);
        }
        outputs.push(Outgoing {
            message,
            topic,
            key,
            launch,
        });
        Ok(uuid)
    }

    fn all_outputs(&self) -> MutexGuard<'_, Vec<Outgoing>> {
        let outputs = self.0.outputs.lock();
        outputs.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn line(
        &self,
        level: Level,
        what: &str,
        outcome: Option<&Outcome>,
        text: Option<&str>,
    ) {
        if !is_enabled(level) {
            return;
        }
        let default = LogOptions::default();
        let log = self.0.log.as_deref().unwrap_or(&default);
        // A line with an outcome shows the text of the outcome.
        let longest = match outcome {
            Some(_) => log.longest_text(),
            None => log.longest(),
        };
        let text = text.map(|text| clean(text, longest));
        let (entrypoint, uuid) = (&self.0.entrypoint, &self.0.uuid);
        let who = entrypoint.short();
        line(level, who, what, entrypoint, uuid, outcome, text.as_deref());
    }

    /// Logs the end of the handler, at `level` unless its caller logs it.
    pub(crate) fn end_line(&self, level: Level, what: &str, outcome: &Outcome, text: &str) {
        let level = match self.0.ends_at_debug {
            true => Level::DEBUG,
            false => level,
        };
        self.line(level, what, Some(outcome), Some(text));
    }

    /// Logs that something begins, at level DEBUG, with the params if the log shows them.
    pub(crate) fn trace(&self, what: &str, params: Option<&Object>) {
        if is_enabled(Level::DEBUG) {
            let options = self.0.log.as_ref();
            let shown = options.and_then(|options| options.params(params?));
            self.line(Level::DEBUG, what, None, shown.as_deref());
        }
    }
}

impl Inner {
    fn copy(&self) -> Self {
        let outputs = self.outputs.lock();
        Self {
            uuid: self.uuid.clone(),
            entrypoint: self.entrypoint.clone(),
            run: self.run.clone(),
            step: self.step,
            attempt: self.attempt,
            fence: self.fence,
            previous: self.previous.clone(),
            metadata: self.metadata.clone(),
            cancellation: self
                .cancellation
                .get_or_init(Cancellation::default)
                .clone()
                .into(),
            log: self.log.clone(),
            ends_at_debug: self.ends_at_debug,
            runs: self.runs.clone(),
            outputs: Mutex::new(outputs.unwrap_or_else(PoisonError::into_inner).clone()),
            progress: self.progress.get_or_init(Arc::default).clone().into(),
        }
    }
}
