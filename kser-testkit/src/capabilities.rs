use std::time::Duration;

/// The capabilities and the time limits of a transport, declared as a value, so that the suite tests the declared behaviour.
///
/// ```
/// # use std::time::Duration;
/// # use kser_testkit::Capabilities;
/// // A broker that is a process of its own.
/// let mut capabilities = Capabilities::default();
/// capabilities.patience = Duration::from_secs(30);
/// capabilities.takeover = Duration::from_secs(6);
/// capabilities.delay_granularity = Duration::from_secs(2);
/// capabilities.shares_freely = false;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Capabilities {
    /// The time that a test waits for an event that must come. Defaults to 10 s.
    pub patience: Duration,
    /// The time that a test watches to see that nothing comes. Defaults to 1 s.
    pub quiet: Duration,
    /// The longest time that a delayed record may come after it is due. Defaults to 100 ms. A delivery before that is never
    /// right.
    pub delay_granularity: Duration,
    /// The time until the deliveries of a member that left without closing are given to other members. Defaults to zero.
    pub takeover: Duration,
    /// The time after a member has joined a group until no delivery moves to another member because of the join. Defaults to
    /// zero.
    pub joining: Duration,
    /// Whether any member may receive any record without a key, so that a busy member holds up no such record. Defaults to
    /// `true`. If it is `false`, such records may wait for the member that owns their part of the topic.
    pub shares_freely: bool,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(10),
            quiet: Duration::from_secs(1),
            delay_granularity: Duration::from_millis(100),
            takeover: Duration::ZERO,
            joining: Duration::ZERO,
            shares_freely: true,
        }
    }
}
