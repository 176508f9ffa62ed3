//! Apache Kafka as the transport, with the feature `kafka`.
//!
//! [`connect`](crate::connect) takes a `kafka://` URL. A [`KafkaTransport`] made of a [`KafkaConfig`] can be given more settings:
//!
//! ```no_run
//! use kser::Client;
//! use kser::kafka::{KafkaConfig, KafkaTransport};
//!
//! # async fn connect() -> Result<(), kser::Error> {
//! let config = KafkaConfig::new("localhost:9092").with_create(Some(6));
//! let transport = KafkaTransport::with_config(config).await?;
//! let kser = Client::builder(transport).build().await?;
//! # Ok(())
//! # }
//! ```

pub use kser_kafka::{Guarantee, KafkaConfig, KafkaTransport};
