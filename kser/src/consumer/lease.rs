use std::time::Duration;

use kser_core::sequencing::{Event, Owner, Progress, StepKey};
use kser_core::{Cancellation, RunId, Status};
use tokio::time::{Instant, sleep_until};

use super::attempt::Kept;
use super::worker::Worker;
use crate::stored::{Along, Known, Stored, Tried};

/// The right to run a step, kept alive while its handler runs. A carried step needs none.
#[derive(Debug)]
pub(crate) struct Lease<'a>(Option<Held<'a>>);

#[derive(Debug)]
struct Held<'a> {
    stored: Stored<'a>,
    run: &'a RunId,
    step: &'a StepKey,
    known: Known,
    owner: &'a Owner,
    superseded: &'a Cancellation,
    length: Duration,
    renew_at: Instant,
    /// The last renewal failed: what is known of the run may be old.
    failed: bool,
}

impl<'a> Lease<'a> {
    /// No lease: nobody else can have the step.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// The lease of an attempt that has just been written.
    pub(crate) fn new(
        stored: Stored<'a>,
        run: &'a RunId,
        step: &'a StepKey,
        known: Known,
        worker: &'a Worker,
    ) -> Self {
        let length = worker.options.lease;
        Self(Some(Held {
            stored,
            run,
            step,
            known,
            owner: &worker.owner,
            superseded: &worker.superseded,
            length,
            renew_at: Instant::now() + length / 3,
            failed: false,
        }))
    }

    /// Returns where the run stands, as far as this attempt knows.
    pub(crate) fn into_known(self) -> Option<Known> {
        self.0.map(|held| held.known)
    }

    /// Waits until there is something to say about the lease. It renews in time, and notices when the run changes.
    ///
    /// Dropping the future loses nothing but the next news.
    pub(crate) async fn keep(&mut self) -> Kept {
        let Some(held) = &mut self.0 else {
            return std::future::pending().await;
        };
        let version = held.known.progress.version();
        tokio::select! {
            biased;
            () = sleep_until(held.renew_at) => {}
            // After a failure only at its time: the version that is known may be an old one, and then this returns at once.
            changed = held.stored.store.changed(held.run, version), if !held.failed => {
                if changed.is_err() {
                    sleep_until(held.renew_at).await;
                }
            }
        }
        held.renew().await
    }
}

impl Held<'_> {
    /// Renews, or learns why that is not possible. An unreachable store is tried again: the lease may still be ours.
    async fn renew(&mut self) -> Kept {
        let now = self.stored.shared.store_clock.now();
        let event = Event::Renewed {
            step: self.step.clone(),
            attempt: self.known.progress.attempts(),
            until: now + self.length,
        };
        let (known, along) = (self.known.clone(), Along::default());
        let renewed = self.stored.apply_to(self.run, known, event, along).await;
        self.failed = renewed.is_err();
        match renewed {
            Ok(Tried::Applied(applied)) => {
                *self.known.progress = applied.after.progress;
                self.renew_at = Instant::now() + self.length / 3;
                self.kept()
            }
            Ok(Tried::Conflict(actual)) => self.look(actual),
            Ok(Tried::Rejected(..)) => Kept::Lost,
            Err(error) => {
                tracing::warn!(run = ?self.run, %error, "a lease is not renewed");
                self.renew_at = Instant::now() + (self.length / 10).max(Duration::from_millis(100));
                Kept::Ours
            }
        }
    }

    /// Takes what the store says now.
    fn look(&mut self, actual: Option<Box<Progress>>) -> Kept {
        let Some(actual) = actual else {
            return Kept::Lost;
        };
        let ours = &self.known.progress;
        if actual
            .lease()
            .is_some_and(|lease| lease.owner.supersedes(self.owner))
        {
            self.superseded.cancel();
        }
        let same = actual.position() == ours.position() && actual.attempts() == ours.attempts();
        if !same || !actual.is_started() {
            return Kept::Lost;
        }
        self.known.progress = actual;
        self.kept()
    }

    /// A cancelled run keeps its lease until the attempt has ended, so that nobody begins another beside it.
    fn kept(&self) -> Kept {
        match self.known.progress.status() {
            Status::Cancelled => Kept::Unwanted,
            _ => Kept::Ours,
        }
    }
}
