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
//!
//! A program with tables of its own in the database launches an operation exactly if its transaction commits. Its client is
//! `tokio-postgres`, alone or with a pool whose transactions lead to those of `tokio-postgres`, such as `deadpool-postgres`
//! (`&mut *transaction`) or `bb8-postgres`; another one implements [`RunTransaction`] by a transaction of its own:
//!
//! ```no_run
//! use kser::postgres::tokio_postgres::{self, NoTls};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize, kser::Entrypoint)]
//! # #[entrypoint("shop.Order")]
//! # struct Order { number: i64 }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "postgres://shop:secret@db/shop";
//! let shop = kser::connect_with_store("memory://", url).await?;
//! let (mut orders, connection) = tokio_postgres::connect(url, NoTls).await?;
//! tokio::spawn(connection);
//!
//! let mut transaction = orders.transaction().await?;
//! transaction.execute("INSERT INTO orders VALUES (7)", &[]).await?;
//! let order = shop.producer().launch(Order { number: 7 }).with_id("order-7");
//! let run = order.launch_in(&mut transaction).await?;
//! transaction.commit().await?;
//! # Ok(())
//! # }
//! ```

pub use kser_sql::{PostgresConfig, PostgresStore, RunTransaction, tokio_postgres};
