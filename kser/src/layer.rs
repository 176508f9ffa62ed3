//! Layers around the handlers of tasks: `tower` middleware that sees each attempt at a task and its outcome.
//!
//! A layer wraps a [`TaskService`], and its service answers each [`TaskRequest`] with an outcome.
//! [`Consumer::with_layer`](crate::consumer::Consumer::with_layer) puts it around the handlers of a consumer. The layers of
//! `tower` work unchanged:
//!
//! ```
//! use std::time::Duration;
//!
//! use kser::layer::TaskRequest;
//! use tower::timeout::TimeoutLayer;
//! use tower::util::MapRequestLayer;
//! # use kser::{Entrypoint, Registry};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize, Entrypoint)]
//! # #[entrypoint("hall.Greet")]
//! # struct Greet {}
//! # async fn greet(_: Greet) {}
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kser::Error> {
//! # let kser = kser::connect("memory://").await?;
//! # let registry = Registry::new().task(greet).build()?;
//! let show = MapRequestLayer::new(|request: TaskRequest| {
//!     println!("{} begins attempt {}", request.ctx.entrypoint(), request.ctx.attempt());
//!     request
//! });
//! let limit = TimeoutLayer::new(Duration::from_secs(10));
//! let consumer = kser.consumer(registry).with_layer(limit).with_layer(show).spawn();
//! # consumer.stop().await
//! # }
//! ```

pub use crate::consumer::step::layers::{TaskRequest, TaskService};
