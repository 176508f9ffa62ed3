//! The clients that receive records: the thread that polls one, its callbacks, and how a member joins and leaves its group.

pub(crate) mod assignor;
pub(crate) mod broadcast_reader;
pub(crate) mod context;
pub(crate) mod group_size;
pub(crate) mod joining;
pub(crate) mod leave;
pub(crate) mod poll_thread;
