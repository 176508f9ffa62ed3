#![doc = include_str!("../docs/tour.md")]
#![doc = include_str!("../README.md")]

pub mod backend;
pub mod client;
pub mod consumer;
pub mod dead_letter;
#[cfg(feature = "encryption")]
pub mod encryption;
#[doc = include_str!("../docs/guide.md")]
pub mod guide {
    #[cfg(feature = "encryption")]
    #[doc = include_str!("../docs/encryption.md")]
    pub mod encryption {}
    #[doc = include_str!("../docs/from_python.md")]
    pub mod from_python {}
    #[doc = include_str!("../docs/own_transport.md")]
    pub mod own_transport {}
    #[doc = include_str!("../docs/stores.md")]
    pub mod stores {}
}
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod layer;
#[cfg(feature = "memory")]
pub mod memory;
pub mod message;
pub mod observer;
pub mod operation;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod presence;
pub mod run;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod task;
pub mod traces;

mod dead_letters;
mod encryption_health;
mod engine;
mod events;
mod failures;
mod launch;
mod launch_records;
mod lost_records;
mod observed_store;
mod payloads;
mod producer;
mod publish;
mod routes;
mod runs;
mod sealed_store;
mod send_many;
mod send_task;
mod shared;
mod system;
mod topics;
mod unread;

#[doc(hidden)]
pub use kser_core::checked_task;
#[cfg(feature = "derive")]
pub use kser_macros::task;

#[doc(no_inline)]
pub use self::client::{Client, connect, connect_with_store};
#[doc(no_inline)]
pub use self::operation::{Operation, Step};
#[doc(no_inline)]
pub use self::run::{Run, Status};
#[doc(no_inline)]
pub use self::task::{
    Context, Entrypoint, IntoTask, IntoTaskWith, Json, Outcome, Registry, RetryPolicy, Task,
    TaskError,
};
/// The error of all calls.
pub use kser_core::Error;
