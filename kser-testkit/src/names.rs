use std::sync::atomic::{AtomicU64, Ordering};

use kser_core::{Clock, Timestamp};
use tokio::time::Instant;

/// Tells the harnesses of this process apart.
static MADE: AtomicU64 = AtomicU64::new(0);

/// A prefix that no other harness has, neither of this process nor of one before it: backends may remember.
pub(crate) fn unique() -> String {
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let (now, process) = (machine_time().as_millis(), std::process::id());
    format!("conformance.{now}.{process}.{number}")
}

/// The time of the machine when this was made, carried on by tokio's clock, which may be paused.
#[derive(Debug)]
pub(crate) struct TestClock {
    began: Timestamp,
    start: Instant,
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self {
            began: machine_time(),
            start: Instant::now(),
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.began + self.start.elapsed()
    }
}

fn machine_time() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "names differ from run to run, and delays are given in the time of the machine"
    )]
    let wall = std::time::SystemTime::now();
    let since = wall.duration_since(std::time::SystemTime::UNIX_EPOCH);
    Timestamp::default() + since.unwrap_or_default()
}
