#![doc = include_str!("../README.md")]

mod client;
mod consumer;
mod dead_letter;
mod dead_letters;
mod engine;
mod events;
mod failures;
#[doc = include_str!("../docs/guide.md")]
pub mod guide {
    #[doc = include_str!("../docs/from_python.md")]
    pub mod from_python {}
    #[doc = include_str!("../docs/own_transport.md")]
    pub mod own_transport {}
}
mod launch;
mod launch_records;
pub mod layer;
mod producer;
mod publish;
mod routes;
mod run;
mod runs;
mod send_many;
mod send_task;
mod shared;
mod system;
mod topics;
mod unread;

pub use client::{Client, ClientBuilder, connect};
pub use consumer::{
    Consumer, ConsumerHandle, ConsumerHealth, ConsumerState, RunningConsumer, RunningTask,
};
pub use dead_letter::DeadLetter;
pub use dead_letters::DeadLetters;
pub use engine::event::RunEvent;
pub use events::Events;
pub use kser_clock::SystemClock;
/// The interface of backends: the traits, and the types in their signatures.
#[doc(no_inline)]
pub use kser_core as core;
#[doc(hidden)]
pub use kser_core::checked_task;
pub use kser_core::log::LogOptions;
pub use kser_core::sequencing::{Plan, Rejected};
pub use kser_core::store::{Attempt, RunFilter, RunInfo, StoreHealth};
pub use kser_core::{
    Cancellation, Clock, Context, Entrypoint, Error, IdSource, Instance, IntoOperation,
    IntoOutcome, IntoTask, IntoTaskWith, Json, Level, Limits, Message, Metadata, Mode, Name,
    Object, Operation, OperationExt, Outcome, Raw, Registry, RegistryBuilder, RetryPolicy, RunId,
    StateStore, Status, StatusChange, Step, Task, TaskError, TaskExt, TaskId, TaskResultExt,
    Timestamp, Topic, Transport, task_fn,
};
#[cfg(feature = "kafka")]
pub use kser_kafka::{KafkaConfig, KafkaTransport};
#[cfg(feature = "derive")]
pub use kser_macros::{Entrypoint, task};
#[cfg(feature = "memory")]
pub use kser_memory::{MemoryClock, MemoryStore, MemoryTransport};
pub use launch::Launch;
pub use producer::Producer;
pub use routes::Routes;
pub use run::{Run, RunState};
pub use runs::Runs;
pub use send_task::SendTask;
pub use system::RandomIds;
