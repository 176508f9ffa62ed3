#![doc = include_str!("../README.md")]

mod admin;
mod alone;
mod aside;
mod assignment;
mod beside;
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
mod limits;
mod link;
mod member;
mod observer;
mod poll;
mod progress;
mod publish;
mod report;
mod request_size;
mod settle;
mod subscription;
mod transport;
mod unsent;

pub use config::KafkaConfig;
pub use transport::KafkaTransport;
