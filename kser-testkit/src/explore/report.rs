use std::time::Duration;

/// How many runs were made, and how much happened in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The runs.
    pub runs: usize,
    /// The calls that were let through.
    pub steps: usize,
    /// The time that passed in them.
    pub virtual_time: Duration,
    /// The hash over the traces of all runs, in order.
    pub trace_hash: u64,
}
