use kser_core::Error;
use rusqlite::ErrorCode;

/// The name of the backend in errors.
pub(super) const BACKEND: &str = "sqlite";

/// An error of the database, which each caller of a group gets.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failure {
    text: String,
    temporary: bool,
}

impl Failure {
    /// Makes a failure that a retry does not help.
    pub(super) fn permanent(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            temporary: false,
        }
    }
}

/// A full disk, a lock that others hold and a failed read may pass; a damaged file does not.
impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        use ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, FileLockingProtocolFailed,
            OperationInterrupted, OutOfMemory, SystemIoFailure,
        };
        let temporary = matches!(
            error.sqlite_error_code(),
            Some(
                CannotOpen
                    | DatabaseBusy
                    | DatabaseLocked
                    | DiskFull
                    | FileLockingProtocolFailed
                    | OperationInterrupted
                    | OutOfMemory
                    | SystemIoFailure
            )
        );
        Self {
            text: error.to_string(),
            temporary,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Backend {
            backend: BACKEND,
            temporary: failure.temporary,
            source: failure.into(),
        }
    }
}
