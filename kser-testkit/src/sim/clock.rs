use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kser_core::{Clock, IdSource, Timestamp};
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// When every simulated run begins: 2026-01-01 00:00 UTC.
const BEGIN: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// The time of a simulated run: tokio's paused clock, counted on from a moment that is the same in every run.
#[derive(Debug, Clone, Copy)]
pub struct SimClock {
    start: Instant,
}

impl SimClock {
    /// Begins now.
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Returns the time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns the time since the beginning, for a caller outside of the runtime.
    pub(crate) fn elapsed_in(&self, runtime: &Runtime) -> Duration {
        let _inside = runtime.enter();
        self.elapsed()
    }

    /// Returns the moment on tokio's clock.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        self.start + at.since(BEGIN)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        BEGIN + self.elapsed()
    }
}

/// The clock of one process, which may be ahead of the others. Within a life it goes as they do, as that of
/// [`SystemClock`](kser::client::SystemClock) does: a machine's time is read when a process starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProcessClock {
    clock: SimClock,
    ahead: Duration,
}

impl ProcessClock {
    pub(crate) const fn new(clock: SimClock, ahead: Duration) -> Self {
        Self { clock, ahead }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.clock.now() + self.ahead
    }
}

/// The ids of one process of a simulated run: the same in every run.
#[derive(Debug)]
pub(crate) struct SimIds {
    process: String,
    given: AtomicU64,
}

impl SimIds {
    pub(crate) fn new(process: &str) -> Self {
        Self {
            process: process.to_owned(),
            given: AtomicU64::new(0),
        }
    }
}

impl IdSource for SimIds {
    fn next_id(&self) -> String {
        let number = self.given.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{}-{number}", self.process)
    }
}
