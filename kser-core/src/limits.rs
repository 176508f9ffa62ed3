/// The largest sizes of messages, outcomes and operations. A value that is over its limit is refused before a record is
/// sent; where a consumer finds it, the run ends as `FAILED` with the limit in the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one message, 1,000,000 unless set. The transport may take less.
    pub message: usize,
    /// Bytes of the steps to come in one message, where the state is carried: 64 KiB unless set.
    pub carried_plan: usize,
    /// Bytes of the outcome of one step, as JSON: 256 KiB unless set. The error of a failure is cut to it.
    pub outcome: usize,
    /// Steps of one operation, where the state is stored: 100,000 unless set.
    pub steps: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 1_000_000,
            carried_plan: 64 * 1024,
            outcome: 256 * 1024,
            steps: 100_000,
        }
    }
}
