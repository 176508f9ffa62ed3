use serde::Serialize;

use crate::{Outcome, TaskError};

/// A type that a handler may return.
#[diagnostic::on_unimplemented(
    message = "a task cannot return `{Self}`",
    note = "return `()`, text, `Json<T>`, an `Outcome`, or a `Result` of one of them"
)]
pub trait IntoOutcome: Send {
    /// Turns the value into the outcome that is forwarded to the next task.
    ///
    /// # Errors
    ///
    /// The error of the task, or a permanent error when its value has no JSON form.
    fn into_outcome(self) -> Result<Outcome, TaskError>;
}

/// Data for the next task: a value that is written as a JSON object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wrapper, to be taken apart")]
pub struct Json<T>(pub T);

impl<T: Serialize + Send> IntoOutcome for Json<T> {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        let outcome = Outcome::json(&self.0);
        // A retry would fail too, since the same value has no JSON form then either.
        outcome.map_err(|error| TaskError::from(error).into_permanent())
    }
}

impl<T: Serialize + Send> IntoOutcome for (Json<T>, String) {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(self.0.into_outcome()?.with_message(self.1))
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(Outcome::default())
    }
}

impl IntoOutcome for String {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(Outcome::text(self))
    }
}

impl IntoOutcome for &'static str {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(Outcome::text(self))
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        Ok(self)
    }
}

impl<T: IntoOutcome, E: Into<TaskError> + Send> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> Result<Outcome, TaskError> {
        self.map_err(Into::into)?.into_outcome()
    }
}
