//! The callers that wait for a change: of a run, or of the time at which something is due.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser_core::RunId;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::Row;

use super::failure::Failure;
use super::link::Link;
use super::statements::Statements;

/// The first and the longest pause between two looks at a run for which a caller waits. Changes by this process need none.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The time for which other processes notify this one, and a third of it, after which this one asks for more.
const LISTEN: Duration = Duration::from_secs(15);
/// The looks that go out together: those that are due within so short a time.
const TOGETHER: Duration = Duration::from_millis(5);

/// The callers in this process that wait.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    waiting: Mutex<Waiting>,
    /// Wakes the task that looks, when a caller has come.
    added: Notify,
    /// Wakes the callers that wait until something is due.
    due: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    all: BTreeMap<u64, Waiter>,
    runs: BTreeMap<RunId, Vec<u64>>,
    /// The number of callers that wait until something is due.
    for_due: usize,
    /// The due time until which callers sleep; `None` when none of them sleeps.
    awaited: Option<i64>,
}

#[derive(Debug)]
struct Waiter {
    run: RunId,
    version: i64,
    look_at: Instant,
    pause: Duration,
    wake: oneshot::Sender<()>,
}

impl Waiters {
    /// Waits until the version of a run is no longer this one.
    pub(super) async fn changed(&self, run: &RunId, version: i64) {
        let (wake, woken) = oneshot::channel();
        let place = {
            let mut waiting = self.waiting();
            let number = waiting.next;
            waiting.next += 1;
            waiting.runs.entry(run.clone()).or_default().push(number);
            waiting.all.insert(
                number,
                Waiter {
                    run: run.clone(),
                    version,
                    look_at: Instant::now() + PAUSES.0,
                    pause: PAUSES.0,
                    wake,
                },
            );
            Place {
                waiters: self,
                number,
            }
        };
        self.added.notify_one();
        // The sender is dropped with the entry.
        let _ = woken.await;
        drop(place);
    }

    /// Returns a future that is ready once a run or an output is written that is due before the time that
    /// [`sleep_until`](Self::sleep_until) says, or any at all until then, and when another process has written one.
    pub(super) fn earlier_due(&self) -> Notified<'_> {
        self.waiting().awaited = Some(i64::MAX);
        self.due.notified()
    }

    /// Notes the time until which callers sleep: that of the earliest run or output that is due.
    pub(super) fn sleep_until(&self, due: i64) {
        self.waiting().awaited = Some(due);
    }

    /// Has other processes tell when something is due at once, until the value is dropped.
    pub(super) fn listen_for_due(&self) -> Interest<'_> {
        self.waiting().for_due += 1;
        self.added.notify_one();
        Interest(self)
    }

    /// Wakes the callers that wait for a run.
    pub(super) fn wake(&self, run: &RunId) {
        let mut waiting = self.waiting();
        let numbers = waiting.runs.remove(run).unwrap_or_default();
        for number in numbers {
            if let Some(waiter) = waiting.all.remove(&number) {
                // The caller may have gone.
                let _ = waiter.wake.send(());
            }
        }
    }

    /// Wakes the callers that wait until something is due, if they sleep for longer than until `due`.
    pub(super) fn wake_for_due(&self, due: Option<i64>) {
        let mut waiting = self.waiting();
        if let (Some(due), Some(awaited)) = (due, waiting.awaited)
            && due < awaited
        {
            waiting.awaited = None;
            self.due.notify_waiters();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn remove(&mut self, number: u64) {
        let Some(waiter) = self.all.remove(&number) else {
            return;
        };
        if let Some(numbers) = self.runs.get_mut(&waiter.run) {
            numbers.retain(|one| *one != number);
            if numbers.is_empty() {
                self.runs.remove(&waiter.run);
            }
        }
    }

    fn next_look(&self) -> Option<Instant> {
        self.all.values().map(|waiter| waiter.look_at).min()
    }

    /// Returns the runs to look at, and puts their next look off.
    fn take_looks(&mut self, until: Instant) -> Vec<RunId> {
        let mut runs = Vec::new();
        for waiter in self.all.values_mut() {
            if waiter.look_at <= until {
                waiter.look_at = until + waiter.pause;
                waiter.pause = (waiter.pause * 5).min(PAUSES.1);
                runs.push(waiter.run.clone());
            }
        }
        runs.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        runs.dedup();
        runs
    }

    /// Says whether a caller waits that one look has not helped.
    fn listens(&self) -> bool {
        self.all.values().any(|waiter| waiter.pause > PAUSES.0)
    }

    /// Wakes the callers whose run has another version than theirs.
    fn settle(&mut self, run: &RunId, stored: Option<i64>) {
        let numbers = self.runs.get(run).cloned().unwrap_or_default();
        for number in numbers {
            if self
                .all
                .get(&number)
                .is_some_and(|waiter| Some(waiter.version) == stored)
            {
                continue;
            }
            if let Some(waiter) = self.all.remove(&number) {
                let _ = waiter.wake.send(());
            }
            if let Some(left) = self.runs.get_mut(run) {
                left.retain(|one| *one != number);
            }
        }
        if self.runs.get(run).is_some_and(Vec::is_empty) {
            self.runs.remove(run);
        }
    }
}

/// The entry of a caller, removed with its future.
struct Place<'a> {
    waiters: &'a Waiters,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiters.waiting().remove(self.number);
    }
}

/// Counts a caller that waits for a due run or output, until it is dropped.
#[derive(Debug)]
pub(super) struct Interest<'a>(&'a Waiters);

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        self.0.waiting().for_due -= 1;
    }
}

/// The task that looks for changes by other processes: all runs that are to be looked at in one statement, and at once after a
/// notification.
#[derive(Debug)]
pub(super) struct Looker {
    pub(super) waiters: Arc<Waiters>,
    pub(super) link: Link,
    pub(super) statements: Arc<Statements>,
    pub(super) notified: Arc<Notify>,
    pub(super) process: i64,
}

impl Looker {
    /// Looks until the runtime ends.
    pub(super) async fn run(self) {
        let mut listening: Option<(Instant, bool, bool)> = None;
        loop {
            let next = self.waiters.waiting().next_look();
            let refresh = listening.map(|(since, ..)| since + LISTEN / 3);
            let until = next.into_iter().chain(refresh).min();
            let all = tokio::select! {
                () = self.notified.notified() => true,
                () = self.waiters.added.notified() => false,
                () = async { match until { Some(until) => sleep_until(until).await, None => std::future::pending().await } } => false,
            };
            if all {
                self.waiters.wake_for_due(Some(i64::MIN));
            }
            let now = Instant::now();
            let runs = match all {
                true => self.waiters.waiting().runs.keys().cloned().collect(),
                false => self.waiters.waiting().take_looks(now + TOGETHER),
            };
            let listens = {
                let waiting = self.waiters.waiting();
                (waiting.listens(), waiting.for_due > 0)
            };
            let known = listening.filter(|(since, ..)| *since + LISTEN / 3 > now);
            let wanted = listens.0 || listens.1;
            if known.is_none() {
                listening = None;
            }
            let covered = known.is_some_and(|(_, runs, due)| runs >= listens.0 && due >= listens.1);
            if wanted && !covered {
                // A failure leaves the looks by time.
                if self.listen(listens).await.is_ok() {
                    listening = Some((now, listens.0, listens.1));
                }
            }
            if !runs.is_empty() && self.look(&runs).await.is_err() {
                sleep(PAUSES.0).await;
            }
        }
    }

    /// Has other processes notify this one for a while.
    async fn listen(&self, (runs, due): (bool, bool)) -> Result<(), Failure> {
        let session = self.link.session(Instant::now()).await?;
        let span = |wanted: bool| -> i64 {
            let span = if wanted { LISTEN } else { Duration::ZERO };
            i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
        };
        let values: (i64, i64) = (span(runs), span(due));
        session
            .query(
                &self.statements.listen_for,
                &[&self.process, &values.0, &values.1],
            )
            .await
            .map(drop)
    }

    async fn look(&self, runs: &[RunId]) -> Result<(), Failure> {
        let session = self.link.session(Instant::now()).await?;
        let ids: Vec<&[u8]> = runs.iter().map(|run| run.as_str().as_bytes()).collect();
        let rows = session.query(&self.statements.versions, &[&ids]).await?;
        let mut stored: BTreeMap<&[u8], Option<i64>> = BTreeMap::new();
        for row in &rows {
            stored.insert(Row::try_get(row, 0)?, row.try_get(1)?);
        }
        let mut waiting = self.waiters.waiting();
        for run in runs {
            if let Some(version) = stored.get(run.as_str().as_bytes()) {
                waiting.settle(run, *version);
            }
        }
        Ok(())
    }
}
