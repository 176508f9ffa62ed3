//! The pure part of kser: messages, tasks, operations and how they move, and the traits that backends implement.
//!
//! No I/O, no runtime, no clock: time and ids are arguments. Write a transport or a state store, or a library of tasks,
//! against this crate; programs depend on `kser`, which re-exports the types that they need.
//!
//! ```
//! use kser_core::{Message, Registry, Entrypoint};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Greet { name: String }
//! impl Entrypoint for Greet { const PATH: &'static str = "hall.Greet"; }
//!
//! async fn greet(greet: Greet) -> String { format!("hello, {}", greet.name) }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kser_core::Error> {
//! let registry = Registry::new().task(greet).build()?;
//! let message = Message::decode(br#"{"uuid": "1", "entrypoint": "hall.Greet", "params": {"name": "Zoe"}}"#)?;
//! assert_eq!(registry.execute(&message).await.message(), "hello, Zoe");
//! # Ok(())
//! # }
//! ```

mod await_run;
mod cancel;
mod cause;
#[doc(hidden)]
pub mod checked_task;
mod context;
mod delivery;
mod entrypoint;
mod envelope;
mod error;
pub mod headers;
mod health;
mod id;
mod inspect;
mod into_outcome;
mod into_task;
mod into_task_with;
mod json;
mod limits;
pub mod log;
mod message;
mod metadata;
mod not_published;
mod operation;
mod operation_entry;
mod outcome;
mod outgoing;
mod panic;
mod params;
pub mod presence;
mod record;
mod registry;
mod retcode;
mod retry;
pub mod sequencing;
mod status;
mod status_change;
mod step;
pub mod store;
mod task;
mod task_entry;
mod task_error;
mod task_result;
mod time;
mod topic;
mod transport;

/// Implements the `async` traits of this crate, such as [`Transport`] and [`Task`].
pub use async_trait::async_trait;
pub use await_run::AwaitRun;
pub use cancel::Cancellation;
pub use context::Context;
pub use delivery::{
    Delivery, EndedDelivery, HandIn, HandInReports, HandedIn, NotSettled, Origin, ReturnedDelivery,
    Settle, Settled, Ticket, Told,
};
pub use entrypoint::Entrypoint;
pub use envelope::{Envelope, Mode};
pub use error::Error;
pub use health::{Health, HeldPartition, NotInGroup, UnfitTopic};
#[doc(hidden)]
pub use id::name_based_uuid;
pub use id::{IdSource, Instance, Name, RunId, StoreId, TaskId};
pub use inspect::{
    GroupProgress, Inspect, PartitionBacklog, RecordPlace, UnsettledQuery, UnsettledRecord,
    UnsettledView, backlog,
};
pub use into_outcome::{IntoOutcome, Json};
pub use into_task::{ByTask, IntoTask, task_fn};
pub use into_task_with::IntoTaskWith;
pub use json::{Fields, JsonError, Object, Raw};
pub use limits::Limits;
pub use message::Message;
pub use metadata::Metadata;
pub use not_published::NotPublished;
pub use operation::{ByOperation, IntoOperation, Operation, OperationExt};
pub use operation_entry::OperationEntry;
pub use outcome::Outcome;
pub use outgoing::Outgoing;
pub use panic::catch_panic;
pub use record::Record;
pub use registry::{Handler, Registry, RegistryBuilder};
pub use retry::RetryPolicy;
pub use sequencing::Plan;
pub use status::{Status, UnknownStatus};
pub use status_change::StatusChange;
pub use step::Step;
pub use store::StateStore;
pub use task::{Task, TaskExt};
pub use task_entry::TaskEntry;
pub use task_error::TaskError;
pub use task_result::TaskResultExt;
pub use time::{Clock, Timestamp};
pub use topic::{InvalidTopic, Topic};
/// A level of the log, for [`Context::log`].
pub use tracing::Level;
pub use transport::{
    Description, Interest, Leave, Room, Settling, Subscription, TopicSpec, Transport,
};
