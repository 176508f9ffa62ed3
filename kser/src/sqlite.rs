//! The state store in a file of SQLite, with the feature `sqlite`.
//!
//! [`connect_with_store`](crate::connect_with_store) opens it for the store URL `sqlite://shop.db`. As a value it takes a clock,
//! and is shared by several clients:
//!
//! ```
//! use kser::Client;
//! use kser::sqlite::SqliteStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kser::Error> {
//! # let file = std::env::temp_dir().join(format!("kser-docs-{}.db", std::process::id()));
//! let store = SqliteStore::open(&file).await?;
//! let shop = Client::builder_from_url("memory://").store(store.clone()).build().await?;
//! # std::fs::remove_file(file).ok();
//! # Ok(())
//! # }
//! ```

pub use kser_sql::SqliteStore;
