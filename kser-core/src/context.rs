use std::fmt::Display;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use tracing::Level;

use crate::{
    Cancellation, Message, Metadata, Name, Outcome, Raw, RunId, Status, TaskError, TaskId,
};

/// What a handler knows about the task it runs. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Context(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    uuid: TaskId,
    entrypoint: Name,
    operation: Option<RunId>,
    attempt: u32,
    previous: Outcome,
    metadata: Metadata,
    cancellation: Cancellation,
}

impl Context {
    /// Makes the context of one attempt to do what `message` asks for.
    #[must_use]
    pub fn new(message: &Message, attempt: u32, cancellation: Cancellation) -> Self {
        let envelope = message.metadata.envelope();
        Self(Arc::new(Inner {
            uuid: message.uuid.clone(),
            entrypoint: message.entrypoint.clone(),
            operation: envelope.map(|envelope| envelope.run.clone()),
            attempt,
            previous: message.result.clone(),
            metadata: message.metadata.clone(),
            cancellation,
        }))
    }

    /// Makes a context for calling a handler in a test.
    #[must_use]
    pub fn for_test() -> Self {
        let message = Message::new("task".into(), "test.Task".into(), crate::Object::default());
        Self::new(&message, 1, Cancellation::default())
    }

    /// Returns the context with another forwarded outcome.
    #[must_use]
    pub fn with_previous(self, previous: Outcome) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.0);
        inner.previous = previous;
        Self(Arc::new(inner))
    }

    /// Names the task, on every attempt alike.
    #[must_use]
    pub fn uuid(&self) -> &TaskId {
        &self.0.uuid
    }

    /// Returns what was asked for, such as `dice.DiceRoll`.
    #[must_use]
    pub fn entrypoint(&self) -> &Name {
        &self.0.entrypoint
    }

    /// Names the operation of which the task is a step.
    #[must_use]
    pub fn operation(&self) -> Option<&RunId> {
        self.0.operation.as_ref()
    }

    /// Counts the attempts, this one included.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Returns the key to give to other systems, so that they do this once however often it is tried.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        self.0.uuid.as_str()
    }

    /// Returns the outcome of the step before; a first step has an empty one.
    #[must_use]
    pub fn previous(&self) -> &Outcome {
        &self.0.previous
    }

    /// Reads what the step before returned.
    ///
    /// # Errors
    ///
    /// A [`TaskError`] that is not worth another attempt when it is not a `T`.
    pub fn previous_as<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        let value = self.0.previous.retval_as();
        value.map_err(|error| TaskError::from(error).with_code(422))
    }

    /// Returns a value of the sender's metadata.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&Raw> {
        self.0.metadata.get(name)
    }

    /// Says whether the task should stop: the operation was cancelled, or the consumer goes down.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancellation.is_cancelled()
    }

    /// Waits until the task should stop.
    pub async fn cancelled(&self) {
        self.0.cancellation.cancelled().await;
    }

    /// Logs `message` as `DiceRoll.RUNNING: dice.DiceRoll[872c...]: message`.
    pub fn log(&self, level: Level, message: impl Display) {
        self.event(level, Status::Running.as_str(), message);
    }

    pub(crate) fn event(&self, level: Level, what: &str, message: impl Display) {
        let Inner {
            uuid, entrypoint, ..
        } = &*self.0;
        let name = entrypoint.short();
        macro_rules! at {
            ($level:expr) => {
                tracing::event!($level, %uuid, %entrypoint, "{name}.{what}: {entrypoint}[{uuid}]: {message}")
            };
        }
        match level {
            Level::ERROR => at!(Level::ERROR),
            Level::WARN => at!(Level::WARN),
            Level::INFO => at!(Level::INFO),
            Level::DEBUG => at!(Level::DEBUG),
            Level::TRACE => at!(Level::TRACE),
        }
    }
}
