use std::time::Duration;

/// The pace and the brake of an act on many letters or runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pace {
    /// The number of letters whose runs have to succeed before the others are replayed. Defaults to 0.
    pub canary: u64,
    /// The number of letters a second; `None`, as by default, for as many as go.
    pub rate: Option<u32>,
    /// The number of runs that fail again after which no further letter is replayed; `None`, as by default, for any number.
    pub stop_after: Option<u64>,
    /// The time that the runs have to end, after the canary and after the last letter. Defaults to a minute.
    pub wait: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            canary: 0,
            rate: None,
            stop_after: None,
            wait: Duration::from_secs(60),
        }
    }
}

impl Pace {
    /// Returns the time between two letters or runs.
    pub(crate) fn interval(&self) -> Duration {
        let rate = self.rate.filter(|rate| *rate > 0);
        rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate)
    }
}
