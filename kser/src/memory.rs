//! The transport and the state store in this process, with the feature `memory`.
//!
//! [`connect`](crate::connect) makes both for the URL `memory://`. As values, several clients can share them:
//!
//! ```
//! use kser::Client;
//! use kser::memory::{MemoryStore, MemoryTransport};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kser::Error> {
//! let transport = MemoryTransport::new();
//! let clock = transport.clock();
//! let store = MemoryStore::with_clock(clock);
//! let shop = Client::builder(transport.clone()).store(store.clone()).clock(clock).build().await?;
//! let office = Client::builder(transport).store(store).clock(clock).build().await?;
//! # Ok(())
//! # }
//! ```

pub use kser_memory::{MemoryClock, MemoryStore, MemoryTransport};
