use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kser_core::sequencing::Owner;
use kser_core::store::OutputId;
use kser_core::{
    Cancellation, Error, HeldPartition, Name, NotSettled, Registry, Settled, Ticket, Timestamp,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::active::{ActiveSet, RunningTask};
use super::delivery::disposition::{Disposition, Outputs};
use super::delivery::state::DeliveryState;
use super::exclusive::{EXCLUSIVE, Exclusive, GIVEN_BACK};
use super::graceful_leave::Running;
use super::lanes::{Lane, Turn};
use super::options::{LAST_CALL, Options};
use super::parked::Parked;
use super::queues::Queues;
use super::step::layers::Layers;
use super::step::lease::Leases;
use crate::shared::Shared;

/// Which part of what is held may wait for places of their entrypoints.
const CROWD: usize = 4;

/// Does what deliveries ask for. Shared by all that run.
#[derive(Debug)]
pub(crate) struct Processor {
    pub(super) shared: Arc<Shared>,
    pub(super) registry: Registry,
    pub(super) layers: Layers,
    pub(super) options: Options,
    pub(super) owner: Owner,
    pub(super) running: ActiveSet<RunningTask>,
    /// The attempts at steps of stored runs.
    pub(super) attempts: ActiveSet<Running>,
    /// Where deliveries are held whose results cannot be published.
    pub(super) unsettled: ActiveSet<HeldPartition>,
    /// The places to run. A suspect takes all of them.
    pub(super) places: Arc<Semaphore>,
    /// The places of the entrypoints that have a limit of their own.
    pub(super) places_of: BTreeMap<Name, Arc<Semaphore>>,
    /// Where suspects wait for all places.
    pub(super) exclusive: Exclusive,
    /// The deliveries that wait in hand.
    pub(super) parked: Arc<Parked>,
    /// The deliveries that wait for a place of their entrypoint.
    pub(super) crowded: Parked,
    /// Nothing new is to begin.
    pub(super) stop: Cancellation,
    /// Handlers are to end.
    pub(super) cancel: Cancellation,
    /// Handlers are dropped.
    pub(super) kill: Cancellation,
    /// What keeps other consumers from the steps that run here.
    pub(super) leases: Leases,
    /// How long records wait for their turn, by topic.
    pub(super) queues: Queues,
    /// A later life of this instance has taken over.
    pub(super) superseded: Cancellation,
}

/// A delivery that is off our hands: its lane is free.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) lane: Option<Lane>,
    pub(crate) bytes: usize,
    /// It was released: what is behind it in its lane must not run before it.
    pub(crate) given_back: bool,
}

/// What is left to do about a delivery.
enum Left {
    Nothing(Settled),
    Wait(Ticket, Timestamp),
    Exclusive(Ticket),
    Crowded(Ticket, Arc<Semaphore>),
}

impl Processor {
    /// Works on a delivery until it is settled or given back. While it waits it holds no place.
    pub(crate) async fn work(self: Arc<Self>, turn: Turn, place: OwnedSemaphorePermit) -> Finished {
        let bytes = turn.delivery.record.size();
        let (mut work, mut ticket) = DeliveryState::new(turn.delivery, &*self.shared.clock);
        let mut place = Some(place);
        let settled = loop {
            if work.revoked.is_cancelled() && work.decided.is_none() {
                break ticket.release_failed(None, work.counted);
            }
            let decision = self.decide_within(&mut work, &mut place).await;
            work.alone = false;
            let of_entrypoint = work.place.take();
            if let Some(waits) = work.waits.take() {
                waits.settle(place.as_mut(), of_entrypoint);
            }
            if matches!(decision, Disposition::Ack(_)) {
                // What has run waits for the transport, and others may run meanwhile.
                drop(place.take());
            }
            match self.finish(ticket, decision, &mut work).await {
                Left::Nothing(settled) => break settled,
                Left::Wait(kept, until) => {
                    drop(place.take());
                    place = self.pause(&work, until).await;
                    if place.is_none() {
                        break Box::pin(self.leave(kept, &mut work, until)).await;
                    }
                    ticket = kept;
                }
                Left::Exclusive(kept) => {
                    drop(place.take());
                    (ticket, place) = match Box::pin(self.alone(kept, &mut work)).await {
                        Ok(alone) => alone,
                        Err(settled) => break settled,
                    };
                }
                Left::Crowded(kept, places) => {
                    drop(place.take());
                    (ticket, place) = match self.crowded(kept, &mut work, places).await {
                        Ok(entered) => entered,
                        Err(settled) => break settled,
                    };
                }
            }
        };
        drop(place);
        if settled.is_lost() {
            tracing::warn!(target: "kser", topic = %work.record.topic, "a delivery went to someone else while it was worked on");
        }
        Finished {
            lane: turn.lane,
            bytes,
            given_back: settled.is_released(),
        }
    }

    /// Decides. A suspect shares its places with others when it has run alone for long.
    async fn decide_within(
        &self,
        work: &mut DeliveryState,
        place: &mut Option<OwnedSemaphorePermit>,
    ) -> Disposition {
        let alone = work.alone;
        let mut deciding = Box::pin(self.decide(work));
        if !alone {
            return deciding.await;
        }
        tokio::select! {
            biased;
            decision = &mut deciding => return decision,
            () = sleep(EXCLUSIVE) => {}
        }
        if let Some(all) = place {
            drop(all.split(all.num_permits() - 1));
        }
        deciding.await
    }

    /// Waits until a suspect may run with nothing beside it, and notes that it begins. Gives it back for a while when
    /// others run on.
    async fn alone(
        &self,
        ticket: Ticket,
        work: &mut DeliveryState,
    ) -> Result<(Ticket, Option<OwnedSemaphorePermit>), Settled> {
        tracing::warn!(target: "kser", topic = %work.record.topic, "a task that may kill its process waits to run alone");
        let all = u32::try_from(self.options.concurrency).unwrap_or(u32::MAX);
        let entered = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(ticket.release_failed(None, work.counted)),
            () = work.revoked.cancelled() => return Err(ticket.release_failed(None, work.counted)),
            entered = self.exclusive.enter(&self.places, all) => entered,
        };
        let now = self.shared.clock.now();
        let Some(place) = entered else {
            tracing::warn!(target: "kser", topic = %work.record.topic, "a task that may kill its process is given back for {GIVEN_BACK:?}: others run beside it");
            return Err(ticket.release_failed(Some(now + GIVEN_BACK), work.counted));
        };
        match ticket.begin().await {
            Ok(()) => {
                work.alone = true;
                Ok((ticket, Some(place)))
            }
            Err(Error::Lost) => Err(ticket.release_failed(None, work.counted)),
            Err(error) => {
                tracing::error!(target: "kser", error = kser_core::log::report(&error), "cannot record the start of a suspected poison message; retrying in {LAST_CALL:?}");
                // In hand, so that what is behind it waits too.
                drop(place);
                match self.pause(work, now + LAST_CALL).await {
                    Some(place) => Ok((ticket, Some(place))),
                    None => Err(Box::pin(self.leave(ticket, work, now + LAST_CALL)).await),
                }
            }
        }
    }

    /// Waits for a place of the entrypoint, and then for one to run. So few may wait that others have room.
    async fn crowded(
        &self,
        ticket: Ticket,
        work: &mut DeliveryState,
        places: Arc<Semaphore>,
    ) -> Result<(Ticket, Option<OwnedSemaphorePermit>), Settled> {
        if self.crowded.records() >= (self.options.held_records / CROWD).max(1) {
            let now = self.shared.clock.now();
            return Err(ticket.release_failed(Some(now + LAST_CALL), work.counted));
        }
        let waiting = self.crowded.enter(work.record.size());
        work.place = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            () = work.revoked.cancelled() => None,
            place = places.acquire_owned() => place.ok(),
        };
        drop(waiting);
        let place = match work.place {
            Some(_) => self.place(1).await,
            None => None,
        };
        match place {
            Some(place) => Ok((ticket, Some(place))),
            None => Err(ticket.release_failed(None, work.counted)),
        }
    }

    /// The only place that turns a decision into the end of a ticket.
    async fn finish(
        &self,
        ticket: Ticket,
        decision: Disposition,
        work: &mut DeliveryState,
    ) -> Left {
        match decision {
            Disposition::Ack(done) => self.settle(ticket, done, work).await,
            Disposition::RetryIn(pause) => Left::Wait(ticket, self.shared.clock.now() + pause),
            Disposition::Release => Left::Nothing(ticket.release_failed(None, work.counted)),
            Disposition::RunExclusively => Left::Exclusive(ticket),
            Disposition::AwaitPlace(places) => Left::Crowded(ticket, places),
        }
    }

    /// Settles; what fails is tried again later, since what was decided may be written already. What was published is not
    /// published again.
    async fn settle(&self, ticket: Ticket, done: Outputs, work: &mut DeliveryState) -> Left {
        let records = match done.records.is_empty() {
            true => Vec::new(),
            false => done.records.clone(),
        };
        match ticket.settle(records).await {
            Ok(settled) => {
                if !settled.is_lost() {
                    self.relayed(&done.relayed).await;
                }
                Left::Nothing(settled)
            }
            Err(NotSettled { source, ticket, .. }) => {
                let (pause, published) = self.hold(work, done, source);
                self.relayed(&published).await;
                Left::Wait(ticket, self.shared.clock.now() + pause)
            }
        }
    }

    /// Keeps what is left to do after a settle that failed. Returns how long to wait until the next try, and which outputs
    /// of the store are published.
    fn hold(
        &self,
        work: &mut DeliveryState,
        mut done: Outputs,
        error: Error,
    ) -> (Duration, Vec<OutputId>) {
        let mut pause = backoff(work.unsettled);
        work.unsettled += 1;
        let topic = &work.record.topic;
        let partition = work.origin.map_or(0, |origin| origin.partition);
        let held = HeldPartition::new(topic.clone(), partition, error.report());
        let held = self.unsettled.insert(held);
        let shown: &dyn std::error::Error = &error;
        tracing::error!(target: "kser", %topic, error = shown, tries = work.unsettled, "a delivery is held: it cannot be settled");
        let mut published = Vec::new();
        match error {
            Error::Unpublished { source } => {
                (published, work.refused) = done.part(source.failed);
            }
            // Of what is settled together nothing is published.
            error if error.is_too_large() => {
                let largest = self.shared.description.largest_record;
                work.refused = done.take_larger(largest);
            }
            _ => {}
        }
        if !work.refused.is_empty() {
            // What its topic does not take now, it does not take later.
            pause = Duration::ZERO;
        }
        work.held = Some(held);
        work.decided = Some(done);
        (pause, published)
    }

    async fn relayed(&self, outputs: &[OutputId]) {
        if outputs.is_empty() {
            return;
        }
        if let Some(store) = &self.shared.store
            && let Err(error) = store.relayed(outputs).await
        {
            tracing::warn!(target: "kser", error = kser_core::log::report(&error), "outputs are published and not marked: they may be published again");
        }
    }

    /// Waits until then. Says whether to go on: not if the delivery goes to someone else, or the consumer stops.
    async fn wait(&self, work: &DeliveryState, until: Timestamp) -> bool {
        let pause = until.since(self.shared.clock.now());
        // What cannot be settled or decided holds up what is received.
        let is_parked = work.unsettled == 0;
        let _parked = is_parked.then(|| self.parked.enter(work.record.size()));
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = work.revoked.cancelled() => false,
            () = sleep(pause) => true,
        }
    }

    /// Waits until then, and for a place to go on in. `None` if it is not to go on.
    async fn pause(&self, work: &DeliveryState, until: Timestamp) -> Option<OwnedSemaphorePermit> {
        match self.wait(work, until).await {
            true => self.place(1).await,
            false => None,
        }
    }

    /// Parts from a delivery that waits. It comes again in its place, with the count of its attempts where the transport
    /// keeps that.
    async fn leave(&self, ticket: Ticket, work: &mut DeliveryState, until: Timestamp) -> Settled {
        let done = match work.decided.take() {
            // Something is to go out that is not written yet: it comes again, and follows from that.
            Some(_) if !work.refused.is_empty() => {
                return ticket.release_failed(None, work.counted);
            }
            Some(done) => done,
            None => {
                let until = Some(until).filter(|_| work.counted > 0);
                return ticket.release_failed(until, work.counted);
            }
        };
        match ticket.settle(done.records.clone()).await {
            Ok(settled) => {
                // What was lost is not published: the store keeps it for a sweep.
                if !settled.is_lost() {
                    self.relayed(&done.relayed).await;
                }
                settled
            }
            Err(NotSettled { source, ticket, .. }) => {
                tracing::error!(
                    target: "kser",
                    error = &source as &dyn std::error::Error,
                    "a delivery is given back: it cannot be settled"
                );
                ticket.release_failed(None, work.counted)
            }
        }
    }

    /// Waits for places to run. `None` once nothing new is to begin.
    async fn place(&self, places: u32) -> Option<OwnedSemaphorePermit> {
        let all = Arc::clone(&self.places);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            places = all.acquire_many_owned(places) => places.ok(),
        }
    }
}

/// 10 ms, then twice as long each time, at most 10 s.
pub(super) fn backoff(tries: u32) -> Duration {
    Duration::from_millis(10 << tries.min(10)).min(Duration::from_secs(10))
}
