use std::collections::VecDeque;

use kser::Error;
use kser::run::{RunId, Runs, Status};
use serde::Serialize;
use tokio::time::{Duration, Instant, sleep, sleep_until};

use crate::ops::Ops;
use crate::ops::pace::Pace;

/// The time between two looks at the runs that are followed.
const LOOK: Duration = Duration::from_millis(500);

/// The number of runs that are followed at the same time. The ends of earlier ones stay unknown.
const FOLLOWED: usize = 1000;

/// The ends of the runs that an act has moved on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Ends {
    /// The number of runs that have succeeded.
    pub succeeded: u64,
    /// The number of runs that have failed again.
    pub failed_again: u64,
    /// The number of runs that had not ended, or that cannot be followed: lone tasks, and runs that no store keeps.
    pub unknown: u64,
}

/// The pace of an act on many things. It follows the runs on which the act has been, and stops the act when they fail again.
pub(crate) struct Brake<'a> {
    /// The runs of the store, if there is one.
    runs: Option<Runs>,
    pace: &'a Pace,
    ends: Ends,
    /// The runs that have not ended.
    followed: VecDeque<RunId>,
    /// The time of the next turn.
    next: Instant,
    /// The time of the last look at the runs.
    looked: Instant,
}

impl<'a> Brake<'a> {
    pub(crate) fn new(ops: &Ops, pace: &'a Pace) -> Self {
        Self {
            runs: ops.has_store().then(|| ops.client.runs()),
            pace,
            ends: Ends::default(),
            followed: VecDeque::new(),
            next: Instant::now(),
            looked: Instant::now(),
        }
    }

    /// Returns the ends that are known.
    pub(crate) const fn ends(&self) -> Ends {
        self.ends
    }

    /// Waits until the rate allows the next thing.
    pub(crate) async fn turn(&mut self) {
        sleep_until(self.next).await;
        self.next = Instant::now() + self.pace.interval();
    }

    /// Follows a run that was moved on.
    pub(crate) fn add(&mut self, run: Option<RunId>) {
        match run {
            Some(run) if self.runs.is_some() => self.followed.push_back(run),
            _ => self.ends.unknown += 1,
        }
        if self.followed.len() > FOLLOWED {
            self.followed.pop_front();
            self.ends.unknown += 1;
        }
    }

    /// Returns the reason to stop, if the canary has not succeeded, or too many runs have failed again. `done` things are done.
    pub(crate) async fn check(
        &mut self,
        done: u64,
        tell: impl FnMut(Ends) + Send,
    ) -> Option<String> {
        if self.pace.canary > 0 && self.pace.canary == done {
            self.follow(tell).await;
            let (failed, open) = (self.ends.failed_again, self.open());
            if failed > 0 || open > 0 {
                return Some(format!(
                    "of the first {done}, {failed} failed again, and {open} had not ended in time"
                ));
            }
        } else if self.pace.stop_after.is_some() && self.looked.elapsed() >= LOOK {
            self.look().await;
        }
        let failed = self.ends.failed_again;
        let most = self.pace.stop_after.filter(|most| failed >= *most);
        most.map(|_| format!("{failed} runs failed again"))
    }

    /// Waits until the runs have ended, at most for the time that the pace gives them.
    async fn follow(&mut self, mut tell: impl FnMut(Ends) + Send) {
        let end = Instant::now() + self.pace.wait;
        loop {
            self.look().await;
            tell(self.ends);
            if self.followed.is_empty() || Instant::now() >= end {
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// Waits for the runs at the end of an act, and returns how they ended.
    pub(crate) async fn finish(mut self, tell: impl FnMut(Ends) + Send) -> Ends {
        self.follow(tell).await;
        self.ends.unknown += self.open();
        self.ends
    }

    fn open(&self) -> u64 {
        u64::try_from(self.followed.len()).unwrap_or(u64::MAX)
    }

    /// Looks once whether the runs have ended. A store that does not answer ends nothing.
    async fn look(&mut self) {
        self.looked = Instant::now();
        let Some(runs) = &self.runs else { return };
        let mut open = VecDeque::new();
        for run in std::mem::take(&mut self.followed) {
            match runs.status(&run).await.map(|state| state.status) {
                Ok(Status::Success) => self.ends.succeeded += 1,
                Ok(Status::Failed) => self.ends.failed_again += 1,
                Ok(Status::Cancelled) | Err(Error::UnknownRun { .. }) => self.ends.unknown += 1,
                Ok(Status::Pending | Status::Running) | Err(_) => open.push_back(run),
            }
        }
        self.followed = open;
    }
}
