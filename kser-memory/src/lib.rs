#![doc = include_str!("../README.md")]

mod broker;
mod clock;
mod group;
mod queue;
mod runs;
mod store;
mod transport;

pub use clock::MemoryClock;
pub use store::MemoryStore;
pub use transport::MemoryTransport;
