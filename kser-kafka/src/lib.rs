#![doc = include_str!("../README.md")]

mod admin;
mod aside;
mod assignment;
mod beside;
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
mod limits;
mod listing;
mod member;
mod offsets;
mod opening;
mod places;
mod pressure;
mod producer;
mod progress;
mod transport;
mod unsent;
mod wait;

pub use config::KafkaConfig;
pub use transport::KafkaTransport;
