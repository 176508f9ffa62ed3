use kser::Error;
use serde::Serialize;

/// An error of an operator's question or act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpsError {
    /// kser failed, or refused an act.
    #[error("{}", .0.report())]
    Kser(#[from] Error),
    /// A text of the operator cannot be read, such as an address or a URL.
    #[error("{what}: {reason}")]
    Invalid {
        /// The text, without secrets.
        what: String,
        /// The reason.
        reason: String,
    },
    /// There is no such thing.
    #[error("{what}")]
    NotFound {
        /// The thing that was looked for.
        what: String,
    },
    /// The question or act needs a part that is not there: Kafka, or a store.
    #[error("{what} needs {part}: {reason}")]
    Needs {
        /// The question or act.
        what: &'static str,
        /// The part.
        part: &'static str,
        /// The reason why it is not there.
        reason: String,
        /// Whether a retry may succeed.
        temporary: bool,
    },
    /// A backend did not answer in time.
    #[error("{what} did not answer within {} s", .limit.as_secs())]
    TimedOut {
        /// The backend.
        what: &'static str,
        /// The time that it had.
        limit: std::time::Duration,
    },
    /// The act is refused, since the state of the subject does not allow it or is not the expected one.
    #[error("{reason}")]
    Refused {
        /// The reason.
        reason: String,
    },
}

/// The kind of an error, by the way in which a caller may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The question or act cannot be asked so.
    Usage,
    /// There is no such thing.
    NotFound,
    /// The act is refused, by the rules, or since another operator was faster.
    Refused,
    /// A backend did not answer.
    NoAnswer,
    /// A time limit is over.
    TimedOut,
}

impl OpsError {
    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Kser(error) => kind_of(error),
            Self::Invalid { .. } => ErrorKind::Usage,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::Needs {
                temporary: false, ..
            } => ErrorKind::Usage,
            _ => ErrorKind::NoAnswer,
        }
    }

    /// Says whether a retry may succeed.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Kser(error) => error.is_temporary(),
            Self::Needs { temporary, .. } => *temporary,
            Self::TimedOut { .. } => true,
            _ => false,
        }
    }
}

const fn kind_of(error: &Error) -> ErrorKind {
    match error {
        Error::UnknownRun { .. } | Error::MissingTopic { .. } => ErrorKind::NotFound,
        Error::Rejected { .. } | Error::Conflict { .. } => ErrorKind::Refused,
        Error::TimedOut { .. } => ErrorKind::TimedOut,
        Error::Backend { .. }
        | Error::MaybeSent { .. }
        | Error::Unpublished { .. }
        | Error::Closed
        | Error::Lost => ErrorKind::NoAnswer,
        _ => ErrorKind::Usage,
    }
}
