#![doc = include_str!("../README.md")]

mod clock;
mod store;
mod transport;

pub use clock::MemoryClock;
pub use store::MemoryStore;
pub use transport::MemoryTransport;
