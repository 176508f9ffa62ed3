#![doc = include_str!("../README.md")]

mod admin;
mod ends;
mod message;
mod partitions;
mod topics;

pub use ends::{LogEnd, log_ends};
pub use message::{Header, headers, leader_epoch};
pub use partitions::{Partition, partitions, set_leader_epoch};
pub use topics::{TopicId, topic_ids};
