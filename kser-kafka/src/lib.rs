#![doc = include_str!("../README.md")]

mod aside;
mod assignment;
mod broker_clock;
mod channel;
mod clock;
mod cluster;
mod commit;
mod config;
mod consumer;
mod defaults;
mod delay;
mod error;
mod health;
mod heard;
mod listing;
mod member;
mod offsets;
mod places;
mod pressure;
mod producer;
mod progress;
mod topics;
mod transport;
mod unsent;
mod wait;

pub use config::KafkaConfig;
pub use transport::KafkaTransport;
