use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use kser_core::{AwaitRun, Error, Outcome, RunId};
use tokio::sync::OwnedSemaphorePermit;

use crate::consumer::parked::Parked;
use crate::consumer::places::Places;
use crate::run::RunState;
use crate::runs::Runs;
use crate::shared::Shared;

/// RunWaits for runs on behalf of a handler, whose places run others meanwhile.
#[derive(Debug)]
pub(crate) struct RunWaits {
    shared: Arc<Shared>,
    /// The places that the handler has one of each of.
    places: Vec<Places>,
    parked: Arc<Parked>,
    bytes: usize,
    waiting: AtomicUsize,
    lent: AtomicUsize,
}

/// A wait of a handler, until it is dropped.
struct Waiting<'a>(&'a RunWaits);

impl RunWaits {
    /// Makes the waits of a handler that has one of each of these places, for a delivery of so many bytes.
    pub(crate) fn new(
        shared: Arc<Shared>,
        places: Vec<Places>,
        parked: Arc<Parked>,
        bytes: usize,
    ) -> Self {
        Self {
            shared,
            places,
            parked,
            bytes,
            waiting: AtomicUsize::new(0),
            lent: AtomicUsize::new(0),
        }
    }

    /// Lends the places of the handler to others, once for all of its waits.
    fn begin(&self) -> Waiting<'_> {
        if self.waiting.fetch_add(1, Ordering::AcqRel) == 0
            && self.lent.fetch_add(1, Ordering::AcqRel) == 0
        {
            for places in &self.places {
                places.lend();
            }
        }
        Waiting(self)
    }

    /// Takes the places back, if no other wait of the handler goes on: all of them, or none if this is dropped before.
    async fn take_back(&self) {
        if self.waiting.load(Ordering::Acquire) > 1 {
            return;
        }
        let mut taken = Vec::with_capacity(self.places.len());
        // That of the entrypoint first, as a delivery does that waits for both.
        for places in self.places.iter().rev() {
            taken.extend(places.take(1).await);
        }
        taken.into_iter().for_each(OwnedSemaphorePermit::forget);
        self.lent.store(0, Ordering::Release);
    }

    /// Forgets the places of a handler that ended while they were lent: others have them.
    pub(crate) fn settle(
        &self,
        place: Option<&mut OwnedSemaphorePermit>,
        of_entrypoint: Option<OwnedSemaphorePermit>,
    ) {
        if self.lent.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(one) = place.and_then(|place| place.split(1)) {
            one.forget();
        }
        if let Some(place) = of_entrypoint {
            place.forget();
        }
    }

    /// Says whether the places of the handler are lent to others.
    pub(crate) fn has_lent(&self) -> bool {
        self.lent.load(Ordering::Acquire) > 0
    }

    async fn wait(&self, run: &RunId) -> Result<Outcome, Error> {
        let shared = &self.shared;
        if let Some(watched) = shared.event_watcher.known(run) {
            let state = RunState::of_event(watched.ended().await?);
            return state.into_result();
        }
        let waited = Runs::new(Arc::clone(shared)).wait(run).await;
        waited?.into_result()
    }
}

#[async_trait]
impl AwaitRun for RunWaits {
    async fn result_of(&self, run: &RunId) -> Result<Outcome, Error> {
        let waiting = self.begin();
        let parked = self.parked.enter(self.bytes);
        let result = self.wait(run).await;
        drop(parked);
        self.take_back().await;
        drop(waiting);
        result
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
