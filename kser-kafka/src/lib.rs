#![doc = include_str!("../README.md")]

mod admin;
mod alone;
mod aside;
mod ask;
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
mod listing;
mod member;
mod observer;
mod places;
mod poll;
mod presence;
mod progress;
mod publish;
mod report;
mod request_size;
mod settle;
mod statistics;
mod subscription;
mod survey;
mod transport;
mod unsent;

pub use config::KafkaConfig;
pub use transport::KafkaTransport;
