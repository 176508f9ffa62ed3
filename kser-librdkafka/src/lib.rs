#![doc = include_str!("../README.md")]

mod admin;
mod brokers;
mod ends;
mod message;
mod partitions;
mod topics;

pub use brokers::add_bootstrap_servers;
pub use ends::{LogEnd, log_ends};
pub use message::{Header, headers, leader_epoch};
pub use partitions::{Partition, partitions, set_leader_epoch};
pub use topics::{TopicId, topic_ids};
