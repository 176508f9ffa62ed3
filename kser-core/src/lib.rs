//! The pure part of kser: messages, tasks, operations and how they move, and the traits that backends implement.
//!
//! No I/O, no runtime, no clock: time and ids are arguments. Backends depend on this crate; programs depend on `kser`.

mod cancel;
mod context;
mod delivery;
mod entrypoint;
mod envelope;
mod error;
mod handler;
mod id;
mod json;
mod limits;
mod message;
mod operation;
mod outcome;
mod record;
mod registry;
mod retry;
pub mod sequencing;
mod status;
mod step;
pub mod store;
mod task;
mod task_error;
mod time;
mod topic;
mod transport;

pub use cancel::Cancellation;
pub use context::Context;
pub use delivery::{Delivery, NotSettled, Origin, Settle, Settled, Ticket};
pub use entrypoint::Entrypoint;
pub use envelope::{Envelope, Mode};
pub use error::Error;
pub use handler::{ByTask, IntoTask, TaskEntry, task_fn};
pub use id::{IdSource, Instance, Name, RunId, StoreId, TaskId};
pub use json::{Fields, Object, Raw};
pub use limits::Limits;
pub use message::{Message, Metadata};
pub use operation::{ByOperation, IntoOperation, Operation, OperationEntry, OperationExt};
pub use outcome::{IntoOutcome, Json, Outcome};
pub use record::Record;
pub use registry::{Handler, Registry};
pub use retry::RetryPolicy;
pub use sequencing::Plan;
pub use status::Status;
pub use step::Step;
pub use store::StateStore;
pub use task::{Task, TaskExt};
pub use task_error::TaskError;
pub use time::{Clock, Timestamp};
pub use topic::Topic;
pub use transport::{
    Description, Health, Interest, NotPublished, Room, Settling, Subscription, TopicSpec, Transport,
};
