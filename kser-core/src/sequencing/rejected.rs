use crate::{Status, Timestamp};

/// Why an event does not apply. The progress stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The plan has no such step: its uuid or its entrypoint differs.
    #[error("the operation has no such step")]
    UnknownStep,
    /// The step comes later: the event is ahead of the progress, as after a restored backup.
    #[error("the operation is at step {position}, before the step at hand")]
    Ahead {
        /// Where the operation stands.
        position: u32,
    },
    /// The step is done.
    #[error("the step is done")]
    AlreadyDone,
    /// Somebody runs it.
    #[error("the step is being run until {}", until.as_millis())]
    Leased {
        /// When the lease ends, unless it is renewed.
        until: Timestamp,
    },
    /// It waits to be tried again.
    #[error("the step waits until {}", until.as_millis())]
    NotYet {
        /// When it may start.
        until: Timestamp,
    },
    /// Its attempts ended without a report too often: it may only run with nothing beside it.
    #[error("the step may have killed its process: it must run alone")]
    Suspect,
    /// The report is not from the latest attempt.
    #[error("another attempt has begun since")]
    Fenced,
    /// The operation has ended.
    #[error("it is {0}")]
    Finished(Status),
    /// Only an operation that has failed or was cancelled can be resumed.
    #[error("it is {0}, neither FAILED nor CANCELLED")]
    NotStopped(Status),
    /// Only an operation that has ended can be forgotten.
    #[error("it is {0}: it goes on")]
    NotEnded(Status),
    /// The steps are not known yet.
    #[error("it is not built")]
    NotBuilt,
    /// The outcome that is to be forwarded is a failure.
    #[error("the outcome of a skipped step must be a success")]
    NotASuccess,
    /// Only an external step is ended by a report from outside.
    #[error("the step is not an external one")]
    NotExternal,
}
