#![doc = include_str!("../README.md")]

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod encoding;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod pages;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
mod transaction;

#[cfg(feature = "postgres")]
pub use postgres::{PostgresConfig, PostgresStore};
/// The client of SQLite, for transactions of the program's own.
#[cfg(feature = "sqlite")]
pub use rusqlite;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
/// The client of PostgreSQL, for transactions of the program's own.
#[cfg(feature = "postgres")]
pub use tokio_postgres;
pub use transaction::RunTransaction;
