//! The clients that receive records: their poll threads and callbacks, and the joining and leaving of groups.

pub(crate) mod assignor;
pub(crate) mod broadcast_reader;
pub(crate) mod context;
pub(crate) mod group_size;
pub(crate) mod leave;
pub(crate) mod membership;
pub(crate) mod poll_thread;
mod rebalance;
