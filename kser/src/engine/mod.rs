//! Moves runs: reads their state, applies the rules, writes what changes, and makes the records that follow.

pub(crate) mod event;
pub(crate) mod event_watcher;
pub(crate) mod records;
pub(crate) mod refusal;
pub(crate) mod run_ref;
pub(crate) mod stamps;
pub(crate) mod store_clock;
pub(crate) mod stored;
