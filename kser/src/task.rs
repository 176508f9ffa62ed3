//! Tasks: functions and types with typed params that run once for each message, and the registry that finds them by name.
//!
//! An `async fn` whose parameter is an [`Entrypoint`] is a task. It may take its state, a [`Context`] and the result of the step
//! before, and it returns a text, [`Json`], an [`Outcome`] or a `Result` of one of them. [`Registry`] holds tasks and operations.
//!
//! ```
//! use std::time::Duration;
//!
//! use kser::task::{Context, Entrypoint, IntoTask, Registry, RetryPolicy, TaskError, TaskResultExt};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Entrypoint)]
//! #[entrypoint("image.Resize")]
//! struct Resize { width: String }
//!
//! async fn resize(ctx: Context, image: Resize) -> Result<String, TaskError> {
//!     let width: u32 = image.width.parse().permanent()?; // Another attempt would fail, too.
//!     Ok(format!("{width} pixels wide at attempt {}", ctx.attempt()))
//! }
//!
//! # fn main() -> Result<(), kser::Error> {
//! let resize = resize.with_retry(RetryPolicy::exponential(3, Duration::from_secs(1)));
//! let registry = Registry::new().task(resize).build()?;
//! # Ok(())
//! # }
//! ```

pub use kser_core::{
    Cancellation, Context, Entrypoint, Handler, IntoOutcome, IntoTask, IntoTaskWith, Json, Level,
    Outcome, Registry, RegistryBuilder, RetryPolicy, Task, TaskEntry, TaskError, TaskExt,
    TaskResultExt, task_fn,
};
#[cfg(feature = "derive")]
pub use kser_macros::Entrypoint;
