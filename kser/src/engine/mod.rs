//! The engine of runs: reads their state, applies the rules, writes the change, and makes the records that follow.

pub(crate) mod digest;
pub(crate) mod event;
pub(crate) mod event_watcher;
pub(crate) mod failed_attempts;
pub(crate) mod records;
pub(crate) mod refusal;
pub(crate) mod run_change;
pub(crate) mod run_ref;
pub(crate) mod run_view;
pub(crate) mod scope;
pub(crate) mod stamps;
pub(crate) mod store_clock;
pub(crate) mod stored;
