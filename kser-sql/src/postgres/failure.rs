use std::error::Error as _;

use kser_core::Error;
use tokio_postgres::error::SqlState;

/// The name of the backend in errors.
pub(super) const BACKEND: &str = "postgres";

/// An error of the database, which each caller of a group gets. Its text names no password: neither the client nor the server
/// puts one into an error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Failure {
    text: String,
    temporary: bool,
    /// Whether the connection was lost, so that a statement may have been executed.
    lost: bool,
}

impl Failure {
    /// Makes a failure that a retry does not help.
    pub(super) fn permanent(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            temporary: false,
            lost: false,
        }
    }

    /// Makes a failure of a connection that does not answer.
    pub(super) fn lost(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            temporary: true,
            lost: true,
        }
    }

    /// Says whether the connection was lost, so that a statement has to be repeated on another one.
    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) const fn is_temporary(&self) -> bool {
        self.temporary
    }
}

/// A failure of the connection, of the server's resources or of a lock may pass; one of a statement or of a value does not.
impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        let (temporary, lost) = match error.code() {
            Some(code) => (may_pass(code), ends_connection(code)),
            None => (is_of_connection(&error), is_of_connection(&error)),
        };
        Self {
            text,
            temporary,
            lost,
        }
    }
}

/// Says whether an error that the server has not told is one of the connection, rather than of a value.
fn is_of_connection(error: &tokio_postgres::Error) -> bool {
    let of_io = |error: &(dyn std::error::Error + 'static)| error.is::<std::io::Error>();
    error.is_closed() || error.source().is_some_and(of_io) || error.source().is_none()
}

/// Says whether the server closes the connection with this error: an administrator ends it, or the server crashes or starts.
fn ends_connection(code: &SqlState) -> bool {
    code.code().starts_with("08") || code.code().starts_with("57P")
}

/// Says whether a statement that failed with this error may succeed later.
fn may_pass(code: &SqlState) -> bool {
    // Of the connection, transaction rollbacks, resources, administrators, the system.
    let classes = ["08", "40", "53", "57", "58"];
    let others = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::OBJECT_IN_USE,
        // The primary server became a standby.
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    classes.iter().any(|class| code.code().starts_with(class)) || others.contains(code)
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
