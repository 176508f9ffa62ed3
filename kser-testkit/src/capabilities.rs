use std::time::Duration;

/// What a transport can do, and how long it takes: a value, so that the suite tests what is declared.
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
    /// How long a test waits for something that must come; 10 seconds unless set.
    pub patience: Duration,
    /// How long a test waits to see that nothing comes; 1 second unless set.
    pub quiet: Duration,
    /// How much later than its time a delayed record may come; 100 milliseconds unless set. Sooner is never right.
    pub delay_granularity: Duration,
    /// How long it takes until what a member held that left without a goodbye is delivered to others; zero unless set.
    pub takeover: Duration,
    /// How long it takes, after a member has joined a group, until no delivery goes to someone else because of it; zero
    /// unless set.
    pub joining: Duration,
    /// Whether any member may have any record without a key, so that one member that is busy holds up none; `true`
    /// unless set. Where it is not, they may wait for the member whose part of the topic they are in.
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
