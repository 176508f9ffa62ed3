//! The callers that wait for a change: of a run, or of the time at which something is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser_core::RunId;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::Row;

use super::columns::Answer;
use super::failure::Failure;
use super::link::Link;
use super::statements::Statements;
use crate::encoding::ProgressText;

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
    /// The next look of each caller.
    looks: BTreeSet<(Instant, u64)>,
    /// The number of callers that one look has not helped.
    patient: usize,
    /// The number of callers that wait until something is due.
    for_due: usize,
    /// The due time until which callers sleep; `None` when none of them sleeps.
    awaited: Option<i64>,
}

#[derive(Debug)]
struct Waiter {
    run: RunId,
    until: Until,
    look_at: Instant,
    pause: Duration,
    wake: oneshot::Sender<Woken>,
}

/// The answer to a caller that waits.
#[derive(Debug, Clone)]
pub(super) enum Woken {
    /// The wait is over by a look, or by a write of this process after which the caller reads.
    Changed,
    /// This process has ended the run, with this progress.
    Ended(Answer<ProgressText>),
}

/// The end of a wait for a run, which ends in any case when there is no such run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    VersionIsNot(i64),
    Ended,
}

/// The version of a run as it is stored, and whether the run has ended.
#[derive(Debug, Clone, Copy)]
struct Stored {
    version: i64,
    ended: bool,
}

impl Until {
    fn is_over(self, stored: Option<Stored>) -> bool {
        match (self, stored) {
            (_, None) => true,
            (Self::VersionIsNot(version), Some(stored)) => stored.version != version,
            (Self::Ended, Some(stored)) => stored.ended,
        }
    }
}

impl Waiter {
    const fn is_patient(&self) -> bool {
        self.pause.as_nanos() > PAUSES.0.as_nanos()
    }
}

impl Waiters {
    /// Waits for a run.
    pub(super) async fn wait(&self, run: &RunId, until: Until) -> Woken {
        let (wake, woken) = oneshot::channel();
        let waiter = Waiter {
            run: run.clone(),
            until,
            look_at: Instant::now() + PAUSES.0,
            pause: PAUSES.0,
            wake,
        };
        let (number, is_first) = self.waiting().add(waiter);
        let place = Place {
            waiters: self,
            number,
        };
        if is_first {
            self.added.notify_one();
        }
        // The sender is dropped with the entry.
        let woken = woken.await;
        drop(place);
        woken.unwrap_or(Woken::Changed)
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

    /// Wakes the callers that wait for a change of a run which this process has changed.
    pub(super) fn wake(&self, run: &RunId) {
        let is_over = |until| matches!(until, Until::VersionIsNot(_));
        self.waiting().wake(run, is_over, &Woken::Changed);
    }

    /// Wakes all callers that wait for a run which this process has ended, or removed.
    pub(super) fn wake_all(&self, run: &RunId, woken: &Woken) {
        self.waiting().wake(run, |_| true, woken);
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
    /// Adds a caller. Says whether its look is the next one.
    fn add(&mut self, waiter: Waiter) -> (u64, bool) {
        let number = self.next;
        self.next += 1;
        let look = (waiter.look_at, number);
        self.looks.insert(look);
        self.runs
            .entry(waiter.run.clone())
            .or_default()
            .push(number);
        self.all.insert(number, waiter);
        (number, self.looks.first() == Some(&look))
    }

    fn remove(&mut self, number: u64) -> Option<Waiter> {
        let waiter = self.all.remove(&number)?;
        self.looks.remove(&(waiter.look_at, number));
        self.patient -= usize::from(waiter.is_patient());
        if let Some(numbers) = self.runs.get_mut(&waiter.run) {
            numbers.retain(|one| *one != number);
            if numbers.is_empty() {
                self.runs.remove(&waiter.run);
            }
        }
        Some(waiter)
    }

    fn next_look(&self) -> Option<Instant> {
        self.looks.first().map(|(at, _)| *at)
    }

    /// Returns the runs to look at, and puts their next look off.
    fn take_looks(&mut self, until: Instant) -> Vec<RunId> {
        let mut runs = Vec::new();
        let later = self.looks.split_off(&(until, u64::MAX));
        for (_, number) in std::mem::replace(&mut self.looks, later) {
            let Some(waiter) = self.all.get_mut(&number) else {
                continue;
            };
            let was_patient = waiter.is_patient();
            waiter.look_at = until + waiter.pause;
            waiter.pause = (waiter.pause * 5).min(PAUSES.1);
            self.patient += usize::from(!was_patient);
            self.looks.insert((waiter.look_at, number));
            runs.push(waiter.run.clone());
        }
        runs.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        runs.dedup();
        runs
    }

    /// Says whether a caller waits that one look has not helped.
    const fn listens(&self) -> bool {
        self.patient > 0
    }

    /// Wakes the callers of a run whose wait is over.
    fn wake(&mut self, run: &RunId, is_over: impl Fn(Until) -> bool, woken: &Woken) {
        let Some(numbers) = self.runs.get(run) else {
            return;
        };
        let over = |number: &u64| {
            let waiter = self.all.get(number);
            waiter.is_none_or(|waiter| is_over(waiter.until))
        };
        let over: Vec<u64> = numbers.iter().copied().filter(over).collect();
        for number in over {
            if let Some(waiter) = self.remove(number) {
                // The caller may have gone.
                let _ = waiter.wake.send(woken.clone());
            }
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
        let _ = self.waiters.waiting().remove(self.number);
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
        let mut stored: BTreeMap<&[u8], Option<Stored>> = BTreeMap::new();
        for row in &rows {
            let version: Option<i64> = row.try_get(1)?;
            let ended: bool = row.try_get(2)?;
            let state = version.map(|version| Stored { version, ended });
            stored.insert(Row::try_get(row, 0)?, state);
        }
        let mut waiting = self.waiters.waiting();
        for run in runs {
            if let Some(stored) = stored.get(run.as_str().as_bytes()) {
                waiting.wake(run, |until| until.is_over(*stored), &Woken::Changed);
            }
        }
        Ok(())
    }
}
