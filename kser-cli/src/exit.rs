use std::process::ExitCode;

use kser_ops::{ErrorKind, OpsError};

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
    pub const fn of(error: &OpsError) -> Self {
        match error.kind() {
            ErrorKind::Usage => Self::Usage,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Refused => Self::Refused,
            ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Silent,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
