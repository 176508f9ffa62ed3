use crate::TaskError;
use crate::cause::Source;

/// Makes the error of a `Result` a [`TaskError`], and says whether another attempt may work, in a task that ends with `?`.
///
/// It takes every error that is or becomes a boxed one: all that implement [`std::error::Error`], text, those of anyhow and
/// eyre, which `?` alone does not take, and a [`TaskError`], which keeps its name, message and code.
///
/// ```
/// # use kser_core::{Entrypoint, TaskError, TaskResultExt};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Resize { path: String, width: String }
/// # impl Entrypoint for Resize { const PATH: &'static str = "image.Resize"; }
/// async fn resize(image: Resize) -> Result<String, TaskError> {
///     let width: u32 = image.width.parse().code(422)?;
///     let bytes = std::fs::read(&image.path).permanent()?;
///     Ok(format!("{} bytes, {width} pixels wide", bytes.len()))
/// }
/// ```
pub trait TaskResultExt<T> {
    /// Fails without another attempt.
    ///
    /// # Errors
    ///
    /// The error, with code 500 unless it is a [`TaskError`].
    fn permanent(self) -> Result<T, TaskError>;

    /// Fails with an error after which another attempt may work.
    ///
    /// # Errors
    ///
    /// The error, with code 500 unless it is a [`TaskError`].
    fn temporary(self) -> Result<T, TaskError>;

    /// Fails with this code, which also says whether another attempt may work: after 408, 429 and 500 or more it may.
    ///
    /// # Errors
    ///
    /// The error, with this code.
    fn code(self, code: i64) -> Result<T, TaskError>;
}

impl<T, E: Into<Source>> TaskResultExt<T> for Result<T, E> {
    fn permanent(self) -> Result<T, TaskError> {
        self.map_err(|error| TaskError::from_boxed(error.into()).into_permanent())
    }

    fn temporary(self) -> Result<T, TaskError> {
        self.map_err(|error| TaskError::from_boxed(error.into()).into_temporary())
    }

    fn code(self, code: i64) -> Result<T, TaskError> {
        self.map_err(|error| TaskError::from_boxed(error.into()).with_code(code))
    }
}
