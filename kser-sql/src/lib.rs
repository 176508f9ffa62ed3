#![doc = include_str!("../README.md")]

#[cfg(feature = "sqlite")]
mod encoding;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
