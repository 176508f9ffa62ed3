use std::process::ExitCode;

use kser::Error;
use kser_ops::OpsError;
use serde::Serialize;

/// The end of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// It is done.
    Done,
    /// It is done, and the answer is bad.
    Bad,
    /// The usage is wrong.
    Usage,
    /// There is no such thing.
    NotFound,
    /// The act is refused.
    Refused,
    /// A backend did not answer.
    Silent,
    /// A part is done.
    Part,
    /// A time limit is over.
    TimedOut,
}

impl Exit {
    /// Returns the exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Bad => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Refused => 4,
            Self::Silent => 5,
            Self::Part => 6,
            Self::TimedOut => 7,
        }
    }

    /// Returns the end of a command that failed.
    #[must_use]
    pub fn of(error: &OpsError) -> Self {
        match error {
            OpsError::Kser(error) => Self::of_kser(error),
            OpsError::Invalid { .. } => Self::Usage,
            OpsError::NotFound { .. } => Self::NotFound,
            OpsError::Refused { .. } => Self::Refused,
            OpsError::Needs {
                temporary: false, ..
            } => Self::Usage,
            _ => Self::Silent,
        }
    }

    const fn of_kser(error: &Error) -> Self {
        match error {
            Error::UnknownRun { .. } | Error::MissingTopic { .. } => Self::NotFound,
            Error::Rejected { .. } | Error::Conflict { .. } => Self::Refused,
            Error::TimedOut { .. } => Self::TimedOut,
            Error::Backend { .. }
            | Error::MaybeSent { .. }
            | Error::Unpublished { .. }
            | Error::Closed
            | Error::Lost => Self::Silent,
            _ => Self::Usage,
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Bad => "bad",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Silent => "no_answer",
            Self::Part => "part",
            Self::TimedOut => "timed_out",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorDocument<'a> {
    error: ErrorFields<'a>,
}

#[derive(Debug, Serialize)]
struct ErrorFields<'a> {
    kind: &'static str,
    message: &'a str,
    temporary: bool,
}

impl<'a> ErrorDocument<'a> {
    pub(crate) const fn new(exit: Exit, message: &'a str, temporary: bool) -> Self {
        let kind = exit.kind();
        Self {
            error: ErrorFields {
                kind,
                message,
                temporary,
            },
        }
    }
}
