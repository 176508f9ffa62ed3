use crate::{Status, Timestamp};

/// The reason why an event does not apply. The progress stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The plan has another step at this position: its uuid or its entrypoint differs.
    #[error("the operation has no such step")]
    UnknownStep,
    /// The step comes later: the event is ahead of the progress, as after a restored backup.
    #[error("the operation is at step {position}, before the step of the message")]
    Ahead {
        /// The position of the operation.
        position: u32,
    },
    /// The step is done.
    #[error("the step is done")]
    AlreadyDone,
    /// A consumer has a lease on the step, and runs it.
    #[error("the step is being run until {}", until.as_millis())]
    Leased {
        /// The end of the lease, unless it is renewed.
        until: Timestamp,
    },
    /// The step waits for its retry.
    #[error("the step waits until {}", until.as_millis())]
    NotYet {
        /// The time of the retry.
        until: Timestamp,
    },
    /// Attempts at the step ended without a report, as by a crash: it is a suspected poison message, and may only run
    /// exclusively.
    #[error("the step may have crashed its process: it must run exclusively")]
    Suspect,
    /// The event is not of the latest attempt.
    #[error("another attempt has begun since")]
    Fenced,
    /// The operation has ended.
    #[error("it is {0}")]
    Finished(Status),
    /// Only an operation that has failed or was cancelled can be resumed.
    #[error("it is {0}, neither FAILED nor CANCELLED")]
    NotStopped(Status),
    /// Only an operation that has ended can be forgotten.
    #[error("it is {0}, which is not an end")]
    NotEnded(Status),
    /// The operation is not built, so that its steps are not known yet.
    #[error("it is not built")]
    NotBuilt,
    /// The outcome that is to be forwarded is a failure.
    #[error("the outcome of a skipped step must be a success")]
    NotASuccess,
    /// Only an external step is ended by a report from outside.
    #[error("the step is not an external one")]
    NotExternal,
}
