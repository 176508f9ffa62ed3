use kser::Error;

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

impl OpsError {
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
