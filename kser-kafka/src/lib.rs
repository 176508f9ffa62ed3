#![doc = include_str!("../README.md")]

mod assignment;
mod background_drop;
mod broker_log;
mod broker_versions;
mod channel;
mod clock;
mod cluster_clients;
mod commit;
mod config;
mod consumer;
mod delay;
mod error;
mod health;
mod inspect;
mod member;
mod offsets;
mod partition_list;
mod partition_map;
mod producer;
mod progress;
mod reach;
mod rebootstrap;
mod topics;
mod transaction;
mod transport;

pub use config::{Guarantee, KafkaConfig};
pub use transport::KafkaTransport;
