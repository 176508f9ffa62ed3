use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kser_core::sequencing::Owner;
use kser_core::{Cancellation, HeldPartition, Name, Registry};
use tokio::sync::OwnedSemaphorePermit;

use super::active::{ActiveSet, RunningAttempt};
use super::exclusive::Exclusive;
use super::graceful_leave::Running;
use super::options::Options;
use super::parked::Parked;
use super::paused::Paused;
use super::places::Places;
use super::queues::Queues;
use super::step::layers::Layers;
use super::step::lease::Leases;
use crate::observer::{Observation, Observer};
use crate::shared::Shared;

/// The parts of a consumer that its deliveries have in common.
#[derive(Debug)]
pub(crate) struct Processor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) registry: Registry,
    pub(crate) layers: Layers,
    pub(crate) options: Options,
    pub(crate) owner: Owner,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) running: ActiveSet<RunningAttempt>,
    /// The attempts at steps of stored runs.
    pub(crate) attempts: ActiveSet<Running>,
    /// The partitions of which deliveries are held, because their results cannot be published.
    pub(crate) unsettled: ActiveSet<HeldPartition>,
    /// The places to run. A suspected poison message takes all of them.
    pub(crate) places: Places,
    /// The places of the entrypoints that have a limit of their own.
    pub(crate) places_of: BTreeMap<Name, Places>,
    /// The turn of suspected poison messages, which wait for all places.
    pub(crate) exclusive: Exclusive,
    /// The deliveries that wait in hand.
    pub(crate) parked: Arc<Parked>,
    /// The deliveries that wait for a place of their entrypoint.
    pub(crate) crowded: Parked,
    /// Cancelled when nothing new is to begin.
    pub(crate) stop: Cancellation,
    /// Whether new deliveries are taken, and further steps begin.
    pub(crate) paused: Paused,
    /// Cancelled when handlers are to end.
    pub(crate) cancel: Cancellation,
    /// Cancelled when handlers are dropped.
    pub(crate) kill: Cancellation,
    /// The leases that keep other consumers from the steps that run here.
    pub(crate) leases: Leases,
    /// How long records wait for their turn, by topic.
    pub(crate) queues: Queues,
    /// Cancelled when a later life of this instance has taken over.
    pub(crate) superseded: Cancellation,
}

impl Processor {
    /// Waits for a place to run. `None` once nothing new is to begin.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            place = self.places.take(1) => place,
        }
    }

    /// Tells the observer of the consumer, if it has one.
    pub(crate) fn observe(&self, observation: &Observation<'_>) {
        if let Some(observer) = &self.observer {
            observer.observe(observation);
        }
    }

    /// Lists the places that a handler of this entrypoint has one of each of.
    pub(crate) fn places_for(&self, entrypoint: &Name) -> Vec<Places> {
        let of_entrypoint = self.places_of.get(entrypoint);
        let places = std::iter::once(&self.places).chain(of_entrypoint);
        places.cloned().collect()
    }
}

/// Returns the wait before a try: 10 ms, then twice as long each time, at most 10 s.
pub(crate) fn backoff(tries: u32) -> Duration {
    Duration::from_millis(10 << tries.min(10)).min(Duration::from_secs(10))
}
