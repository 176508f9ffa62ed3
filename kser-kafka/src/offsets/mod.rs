//! Where partitions start, where the client reads them, and how they go on after their logs changed.

pub(crate) mod added_partitions;
pub(crate) mod log_bounds;
pub(crate) mod log_resets;
pub(crate) mod position;
pub(crate) mod recreated_topics;
pub(crate) mod start;
mod start_state;
pub(crate) mod topic_ids;
