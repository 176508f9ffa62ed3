#![doc = include_str!("../README.md")]

mod admin;
mod alone;
mod assignment;
mod clock;
mod cluster;
mod commit;
mod commits;
mod config;
mod context;
mod delay;
mod error;
mod health;
mod heard;
mod link;
mod member;
mod observer;
mod poll;
mod progress;
mod publish;
mod settle;
mod subscription;
mod transport;

pub use config::KafkaConfig;
pub use transport::KafkaTransport;

/// The largest record, as `Record::size` counts it: what fits a batch of 1,048,588 bytes, which is what brokers take unless
/// they are told otherwise (`message.max.bytes`), with room for what Kafka adds to each record.
const LARGEST_RECORD: usize = 1_048_000;
