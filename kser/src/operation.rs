//! Operations: lists of steps, each a task, that run one after another.
//!
//! An `async fn` that returns a list of [`Step`]s is an operation. The result of each step is given to the next. A type that
//! implements [`Operation`] can also act when the status of a run changes.
//!
//! ```
//! use kser::operation::Step;
//! use kser::task::{Entrypoint, Registry, TaskError};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Entrypoint)]
//! #[entrypoint("image.Thumbnails")]
//! struct Thumbnails { widths: Vec<u32> }
//!
//! #[derive(Serialize, Deserialize, Entrypoint)]
//! #[entrypoint("image.Resize")]
//! struct Resize { width: u32 }
//!
//! async fn thumbnails(order: Thumbnails) -> Result<Vec<Step>, TaskError> {
//!     Ok(order.widths.into_iter().map(|width| Step::new(Resize { width })).collect())
//! }
//! async fn resize(image: Resize) -> String { format!("{} pixels wide", image.width) }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kser::Error> {
//! let kser = kser::connect("memory://").await?;
//! let registry = Registry::new().operation(thumbnails).task(resize).build()?;
//! let consumer = kser.consumer(registry).spawn();
//! let run = kser.producer().launch(Thumbnails { widths: vec![64, 256] }).await?;
//! assert_eq!(run.result().await?.message(), "256 pixels wide");
//! consumer.stop().await
//! # }
//! ```

pub use kser_core::sequencing::{Plan, PlannedStep};
pub use kser_core::{IntoOperation, Operation, OperationExt, StatusChange, Step};
