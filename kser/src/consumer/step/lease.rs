use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use kser_core::sequencing::{Event, Owner, Progress, StepKey};
use kser_core::{Cancellation, Error, Status};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::engine::run_ref::RunRef;
use crate::engine::run_view::RunView;
use crate::engine::stored::{Elsewhere, Stored, SwapOutcome, WriteExtras};
use crate::shared::Shared;

/// How long to wait after the store did not answer.
const PAUSE: Duration = Duration::from_millis(100);

/// The leases of a consumer, which [`Renewals`](super::renewals::Renewals) renew.
#[derive(Debug)]
pub(crate) struct Leases {
    terms: Arc<Terms>,
    held: Mutex<BTreeMap<u64, Arc<Held>>>,
    given: AtomicU64,
    /// Wakes [`Leases::keep`] when a lease is taken while it knows of none.
    taken: Notify,
}

/// The consumer that has the leases, and how long they are.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) shared: Arc<Shared>,
    pub(crate) owner: Owner,
    /// Cancelled when a later life of the owner is seen.
    pub(crate) superseded: Cancellation,
    pub(crate) length: Duration,
}

/// The right to run a step, kept alive while its handler runs. A carried step needs none.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    leases: &'a Leases,
    held: Option<(u64, Arc<Held>)>,
    /// The handler was told that its run was cancelled.
    told: bool,
}

/// A lease as the attempt and the task that renews it see it.
#[derive(Debug)]
struct Held {
    terms: Arc<Terms>,
    run: RunRef,
    step: StepKey,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    view: RunView,
    renew_at: Instant,
    /// A renewal is under way.
    renewing: bool,
    lost: bool,
}

impl Leases {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms: Arc::new(terms),
            held: Mutex::default(),
            given: AtomicU64::new(0),
            taken: Notify::new(),
        }
    }

    /// Keeps the lease of an attempt that has just been written.
    pub(crate) fn take(&self, run: &RunRef, step: &StepKey, view: RunView) -> Lease<'_> {
        let held = Arc::new(Held {
            terms: Arc::clone(&self.terms),
            run: run.without_metadata(),
            step: step.clone(),
            state: Mutex::new(State {
                view,
                renew_at: Instant::now() + self.terms.length / 3,
                renewing: false,
                lost: false,
            }),
            news: Notify::new(),
        });
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        self.held().insert(number, Arc::clone(&held));
        self.taken.notify_one();
        Lease {
            leases: self,
            held: Some((number, held)),
            told: false,
        }
    }

    /// Returns how often to look for leases that are due. Renewed after a third of its length, a lease leaves time for several
    /// tries.
    pub(super) fn period(&self) -> Duration {
        (self.terms.length / 10).max(PAUSE)
    }

    /// Renews the leases in time, for ever, by the timers of the runtime.
    pub(super) async fn keep(&self) {
        let mut renewals = JoinSet::new();
        let runtime = Handle::current();
        loop {
            // A lease that is taken during the sleep is renewed later than this one, because all have the same length.
            let Some(next) = self.next() else {
                self.taken.notified().await;
                continue;
            };
            sleep_until(next).await;
            self.renew_due(&mut renewals, &runtime);
            sleep(self.period()).await;
        }
    }

    /// Begins to renew the leases that are due, side by side: a write that the store does not answer holds up no other lease. All
    /// writes are begun before the first is answered, so that the store can write them together.
    pub(super) fn renew_due(&self, renewals: &mut JoinSet<()>, runtime: &Handle) {
        while renewals.try_join_next().is_some() {}
        let due = self.due();
        if !due.is_empty() {
            let each = due.into_iter().map(Held::renew_once);
            renewals.spawn_on(join_all(each).map(drop), runtime);
        }
    }

    /// Takes the leases that are to be renewed now, each until its renewal is over.
    fn due(&self) -> Vec<Arc<Held>> {
        let held = self.held();
        let due = held.values().filter(|held| held.begins_renewal());
        due.cloned().collect()
    }

    /// Returns when the next lease has to be renewed; `None` without leases.
    fn next(&self) -> Option<Instant> {
        let held = self.held();
        held.values().filter_map(|held| held.renew_at()).min()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of a lease after a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The lease is renewed.
    Ours,
    /// The consumer still has the lease, and the run was cancelled.
    Unwanted,
    /// Another consumer has the step.
    Lost,
}

impl<'a> Lease<'a> {
    /// Makes an empty lease, for a step that no other consumer can have.
    pub(crate) const fn none(leases: &'a Leases) -> Self {
        Self {
            leases,
            held: None,
            told: false,
        }
    }

    /// Returns where the run stands, as far as this attempt knows.
    pub(crate) fn into_view(mut self) -> Option<RunView> {
        let held = self.let_go()?;
        let view = held.state().view.clone();
        Some(view)
    }

    fn let_go(&mut self) -> Option<Arc<Held>> {
        let (number, held) = self.held.take()?;
        self.leases.held().remove(&number);
        Some(held)
    }

    /// Waits until there is something to tell about the lease: that it is lost, or that the run was cancelled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing but the next news.
    pub(crate) async fn keep(&mut self) -> Kept {
        let Some((_, held)) = &self.held else {
            return std::future::pending().await;
        };
        loop {
            let (version, kept) = held.kept();
            match kept {
                Kept::Ours => {}
                Kept::Unwanted if self.told => {}
                kept => {
                    self.told = true;
                    return kept;
                }
            }
            tokio::select! {
                biased;
                () = held.news.notified() => {}
                looked = held.changed(version) => {
                    if looked.is_err() {
                        sleep(PAUSE).await;
                    }
                }
            }
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let _ = self.let_go();
    }
}

impl Held {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self) -> Option<Stored<'_>> {
        let shared = &self.terms.shared;
        let store = shared.store.as_ref()?;
        Some(Stored { shared, store })
    }

    /// Notes that a renewal begins, if it is time for one and none is under way. Says whether it does.
    fn begins_renewal(&self) -> bool {
        let mut state = self.state();
        let due = !state.lost && !state.renewing && state.renew_at <= Instant::now();
        state.renewing |= due;
        due
    }

    /// Returns when the lease has to be renewed; `None` if it is lost.
    fn renew_at(&self) -> Option<Instant> {
        let state = self.state();
        (!state.lost).then_some(state.renew_at)
    }

    /// Returns the known version of the run and the state of the lease. A cancelled run keeps its lease until the attempt has
    /// ended, so that no consumer begins another attempt at the same time.
    fn kept(&self) -> (u64, Kept) {
        let state = self.state();
        let kept = match state.view.progress.status() {
            _ if state.lost => Kept::Lost,
            Status::Cancelled => Kept::Unwanted,
            _ => Kept::Ours,
        };
        (state.view.progress.version(), kept)
    }

    /// Waits until the run has changed, and looks at it.
    async fn changed(&self, version: u64) -> Result<(), Error> {
        let Some(stored) = self.stored() else {
            return std::future::pending().await;
        };
        stored.store.changed(&self.run.id, version).await?;
        self.look(stored.read(&self.run.id).await?);
        Ok(())
    }

    /// Carries out a renewal that has begun.
    async fn renew_once(self: Arc<Self>) {
        self.renew().await;
        self.state().renewing = false;
    }

    /// Renews, or learns why that is not possible. While the store does not answer, the lease may still be this consumer's.
    async fn renew(&self) {
        let Some(stored) = self.stored() else {
            return;
        };
        let view = self.state().view.clone();
        let event = Event::Renewed {
            step: self.step.clone(),
            attempt: view.progress.attempts(),
            until: stored.now() + self.terms.length,
        };
        let renewed = stored.apply_to(&self.run, view, event, WriteExtras::default());
        match renewed.await {
            Ok(SwapOutcome::Applied(applied)) => {
                let mut state = self.state();
                state.renew_at = Instant::now() + self.terms.length / 3;
                state.learn(Box::new(applied.after.progress));
            }
            Ok(SwapOutcome::Conflict(actual)) => self.look(actual),
            Ok(SwapOutcome::Rejected(..)) => self.lose(),
            Err(error) => {
                tracing::warn!(target: "kser", run = ?self.run.id, error = kser_core::log::report(&error), "renewing a lease failed; it is tried again");
            }
        }
    }

    /// Takes over the progress that the store has now.
    fn look(&self, actual: Elsewhere) {
        let Elsewhere::Stands(RunView {
            progress: actual, ..
        }) = actual
        else {
            return self.lose();
        };
        if actual
            .lease()
            .is_some_and(|lease| lease.owner.supersedes(&self.terms.owner))
        {
            self.terms.superseded.cancel();
        }
        let mut state = self.state();
        let ours = &state.view.progress;
        let same = actual.position() == ours.position() && actual.attempts() == ours.attempts();
        if !same || !actual.is_started() {
            drop(state);
            return self.lose();
        }
        state.learn(actual);
        drop(state);
        self.news.notify_one();
    }

    fn lose(&self) {
        self.state().lost = true;
        self.news.notify_one();
    }
}

impl State {
    /// Takes a progress that is newer than the known one.
    fn learn(&mut self, progress: Box<Progress>) {
        if progress.version() > self.view.progress.version() {
            self.view.progress = progress;
        }
    }
}
