//! The state store in PostgreSQL, with the feature `postgres`.
//!
//! [`connect_with_store`](crate::connect_with_store) opens it for the store URL `postgres://user:password@host/database`. As a
//! value it is shared by several clients:
//!
//! ```no_run
//! use kser::Client;
//! use kser::postgres::{PostgresConfig, PostgresStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kser::Error> {
//! let config = PostgresConfig::from_url("postgres://shop:secret@db/shop")?.with_schema("shop_runs")?;
//! let store = PostgresStore::open_with(config).await?;
//! let shop = Client::builder_from_url("memory://").store(store.clone()).build().await?;
//! # Ok(())
//! # }
//! ```

pub use kser_sql::{PostgresConfig, PostgresStore};
