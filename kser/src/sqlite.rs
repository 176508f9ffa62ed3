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

//! A program with tables of its own in the file launches an operation exactly if its transaction commits:
//!
//! ```
//! use kser::sqlite::{SqliteStore, rusqlite};
//! use kser::{Client, Entrypoint, Registry};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Entrypoint)]
//! #[entrypoint("shop.Order")]
//! struct Order {
//!     number: i64,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let file = std::env::temp_dir().join(format!("kser-docs-launch-{}.db", std::process::id()));
//! let store = SqliteStore::open(&file).await?;
//! let shop = Client::builder_from_url("memory://").store(store).build().await?;
//! let mut orders = rusqlite::Connection::open(&file)?;
//! orders.execute_batch("CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY)")?;
//!
//! let mut transaction = orders.transaction()?;
//! transaction.execute("INSERT INTO orders VALUES (7)", ())?;
//! let order = shop.producer().launch(Order { number: 7 }).with_id("order-7");
//! let run = order.launch_in(&mut transaction).await?;
//! transaction.commit()?;
//!
//! let order = |_: Order| async { Ok::<_, kser::TaskError>(vec![kser::Step::new(Pay {})]) };
//! # #[derive(Serialize, Deserialize, Entrypoint)]
//! # #[entrypoint("shop.Pay")]
//! # struct Pay {}
//! let pay = |_: Pay| async { "paid" };
//! let consumer = shop.consumer(Registry::new().operation(order).task(pay).build()?).spawn();
//! assert_eq!(run.result().await?.message(), "paid");
//! consumer.stop().await?;
//! # drop(orders);
//! # std::fs::remove_file(file).ok();
//! # Ok(())
//! # }
//! ```

pub use kser_sql::{RunTransaction, SqliteStore, rusqlite};
