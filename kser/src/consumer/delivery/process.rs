use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kser_core::store::OutputId;
use kser_core::{
    Error, HandedIn, HeldPartition, NotSettled, Record, ReturnedDelivery, Settled, Ticket,
    Timestamp, Topic,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tracing::{Instrument as _, Span};

use super::dead_letter;
use super::disposition::{Disposition, Outputs};
use super::state::DeliveryState;
use super::unpublishable;
use crate::consumer::exclusive::{EXCLUSIVE, GIVEN_BACK};
use crate::consumer::handed_in::{HandInPlace, HandedInDelivery, Settling};
use crate::consumer::lanes::{Lane, Turn};
use crate::consumer::options::LAST_CALL;
use crate::consumer::places::Places;
use crate::consumer::processor::{Processor, backoff};
use crate::consumer::step::route::route;
use crate::observer::Observation;
use crate::traces;

/// Of so many settles that are handed in one is observed, so that the clock is read no more often.
const OBSERVED_SETTLES: u64 = 16;

/// The part of the records in the buffer that may wait for places of their entrypoints.
const CROWD: usize = 4;

/// A delivery that was settled or given back: its lane is free.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) lane: Option<Lane>,
    pub(crate) bytes: usize,
    /// Set if the delivery was released: the records behind it in its lane must not run before it.
    pub(crate) given_back: bool,
}

impl Finished {
    /// Takes the end of a delivery, and logs that of one that was reassigned.
    pub(crate) fn new(settled: &Settled, topic: &Topic, lane: Option<Lane>, bytes: usize) -> Self {
        if settled.is_lost() {
            tracing::warn!(target: "kser", %topic, "a delivery was reassigned while its record was handled; the record runs again");
        }
        Self {
            lane,
            bytes,
            given_back: settled.is_released(),
        }
    }
}

/// The end of the work of a worker.
#[derive(Debug)]
pub(crate) enum End {
    /// The delivery of this number has ended.
    Finished(u64, Finished),
    /// The delivery of this number was handed in. Its lane is free once its result is reported.
    HandedIn(u64, Box<HandedInDelivery>),
    /// The outputs of deliveries that have ended are marked.
    Marked,
}

/// The end of the work of a worker, and its place.
#[derive(Debug)]
pub(crate) struct EndedJob {
    pub(crate) end: End,
    /// The place of the delivery, for the next one.
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

/// A delivery that was handed in and given back.
#[derive(Debug)]
pub(crate) struct ReturnedWork {
    pub(crate) delivery: Box<HandedInDelivery>,
    pub(crate) returned: Box<ReturnedDelivery>,
}

/// Works on a delivery until it is settled, handed in or given back. While it waits it holds no place.
pub(crate) fn process<'p>(
    processor: &'p Processor,
    turn: Turn,
    place: OwnedSemaphorePermit,
    hand_in: HandInPlace<'p>,
) -> impl Future<Output = EndedJob> + Send + 'p {
    let number = hand_in.number;
    let bytes = turn.delivery.record.size();
    let (state, ticket) = DeliveryState::new(processor, turn.delivery, hand_in);
    let process = Process {
        processor,
        state,
        place: Some(place),
        number,
    };
    process.run(ticket, turn.lane, bytes)
}

/// Settles a delivery that was handed in and given back. Its outputs that are published are not published again.
pub(crate) async fn finish_returned(
    processor: &Processor,
    returned: ReturnedWork,
    number: u64,
) -> EndedJob {
    let (mut delivery, returned) = (*returned.delivery, *returned.returned);
    let mut outputs = Outputs {
        records: returned.outputs,
        relayed: std::mem::take(&mut delivery.relayed),
    };
    let published = outputs.keep(&returned.unpublished.failed);
    mark_relayed(processor, &published).await;
    let (lane, bytes) = (delivery.lane.take(), delivery.bytes);
    let process = Process {
        processor,
        state: DeliveryState::of_returned(processor, delivery, outputs),
        place: None,
        number,
    };
    process.run(returned.ticket, lane, bytes).await
}

/// Marks outputs as relayed, which were published with deliveries that were handed in.
pub(crate) async fn mark_published(processor: &Processor, outputs: &[OutputId]) -> EndedJob {
    mark_relayed(processor, outputs).await;
    EndedJob {
        end: End::Marked,
        place: None,
    }
}

async fn mark_relayed(processor: &Processor, outputs: &[OutputId]) {
    if outputs.is_empty() {
        return;
    }
    if let Some(store) = &processor.shared.store
        && let Err(error) = store.relayed(outputs).await
    {
        tracing::warn!(target: "kser", error = kser_core::log::report(&error), "marking outputs as relayed failed; they may be published again");
    }
}

/// The work on one delivery.
struct Process<'p> {
    processor: &'p Processor,
    state: DeliveryState<'p>,
    /// The places that the delivery has.
    place: Option<OwnedSemaphorePermit>,
    number: u64,
}

/// The rest of the work on a delivery.
enum Left {
    Nothing(Settled),
    Result(HandedIn, Vec<OutputId>),
    Wait(Ticket, Timestamp),
    RunExclusively(Ticket),
    AwaitPlace(Ticket, Places),
}

impl Process<'_> {
    async fn run(mut self, mut ticket: Ticket, lane: Option<Lane>, bytes: usize) -> EndedJob {
        let settled = loop {
            if self.state.revoked.is_cancelled() && self.state.unsettled.is_none() {
                break self.release(ticket, None);
            }
            let disposition = match self.state.is_exclusive {
                true => self.dispose_exclusively().await,
                false => dispose(&mut self.state).await,
            };
            self.state.is_exclusive = false;
            let of_entrypoint = self.state.place.take();
            if let Some(waits) = self.state.waits.take() {
                waits.settle(self.place.as_mut(), of_entrypoint);
            }
            if matches!(disposition, Disposition::Ack(_)) {
                // Deciding has ended. Many deliveries wait here, and each keeps no more than the end of its settle needs.
                self.state.message = None;
            }
            let next = match self.finish(ticket, disposition).await {
                Left::Nothing(settled) => break settled,
                Left::Result(proof, relayed) => {
                    return self.hand_over(proof, lane, bytes, relayed);
                }
                Left::Wait(kept, until) => {
                    drop(self.place.take());
                    self.place = self.pause(until).await;
                    match self.place {
                        Some(_) => Ok(kept),
                        None => Err(Box::pin(self.leave(kept, until)).await),
                    }
                }
                Left::RunExclusively(kept) => {
                    drop(self.place.take());
                    Box::pin(self.enter_exclusive(kept)).await
                }
                Left::AwaitPlace(kept, places) => {
                    drop(self.place.take());
                    self.await_place(kept, places).await
                }
            };
            match next {
                Ok(kept) => ticket = kept,
                Err(settled) => break settled,
            }
        };
        let topic = &self.state.tracked.record.topic;
        let finished = Finished::new(&settled, topic, lane, bytes);
        Self::end(End::Finished(self.number, finished), self.place)
    }

    /// Ends the work. The next delivery may have the place, if this one had just one.
    fn end(end: End, place: Option<OwnedSemaphorePermit>) -> EndedJob {
        let place = place.filter(|place| place.num_permits() == 1);
        EndedJob { end, place }
    }

    /// Ends the work on a delivery that was handed in.
    fn hand_over(
        self,
        _: HandedIn,
        lane: Option<Lane>,
        bytes: usize,
        relayed: Vec<OutputId>,
    ) -> EndedJob {
        let DeliveryState {
            tracked,
            revoked,
            crash_count,
            settling,
            settle_span,
            ..
        } = self.state;
        let observed = settling.zip(self.processor.observer.clone());
        let settling = observed.map(|(began, observer)| Settling {
            began,
            observer,
            clock: Arc::clone(&self.processor.shared.clock),
        });
        let delivery = Box::new(HandedInDelivery {
            tracked,
            revoked,
            crash_count,
            lane,
            bytes,
            settling,
            settle_span,
            relayed,
        });
        Self::end(End::HandedIn(self.number, delivery), self.place)
    }

    /// Decides on a suspected poison message, which shares its places with others when it has run exclusively for long.
    async fn dispose_exclusively(&mut self) -> Disposition {
        let mut deciding = Box::pin(dispose(&mut self.state));
        tokio::select! {
            biased;
            disposition = &mut deciding => return disposition,
            () = sleep(EXCLUSIVE) => {}
        }
        if let Some(all) = &mut self.place {
            drop(all.split(all.num_permits() - 1));
        }
        deciding.await
    }

    /// Waits until a suspected poison message may run with nothing beside it, and records that it begins. Gives it back for a
    /// while when others run on.
    async fn enter_exclusive(&mut self, ticket: Ticket) -> Result<Ticket, Settled> {
        let (processor, topic) = (self.processor, &self.state.tracked.record.topic);
        tracing::warn!(target: "kser", %topic, "a suspected poison message waits to run alone");
        let all = u32::try_from(processor.options.concurrency).unwrap_or(u32::MAX);
        let entered = tokio::select! {
            biased;
            () = processor.stop.cancelled() => return Err(self.release(ticket, None)),
            () = self.state.revoked.cancelled() => return Err(self.release(ticket, None)),
            entered = processor.exclusive.enter(&processor.places, all) => entered,
        };
        let now = processor.shared.clock.now();
        let Some(place) = entered else {
            tracing::warn!(target: "kser", %topic, "running a suspected poison message alone failed: other tasks run on; it is released for {GIVEN_BACK:?}");
            return Err(self.release(ticket, Some(now + GIVEN_BACK)));
        };
        match ticket.begin().await {
            Ok(()) => {
                self.state.is_exclusive = true;
                self.place = Some(place);
                Ok(ticket)
            }
            Err(Error::Lost) => Err(self.release(ticket, None)),
            Err(error) => {
                tracing::error!(target: "kser", error = kser_core::log::report(&error), "cannot record the start of a suspected poison message; retrying in {LAST_CALL:?}");
                // In hand, so that the records behind it wait too.
                drop(place);
                self.place = self.pause(now + LAST_CALL).await;
                match self.place {
                    Some(_) => Ok(ticket),
                    None => Err(Box::pin(self.leave(ticket, now + LAST_CALL)).await),
                }
            }
        }
    }

    /// Waits for a place of the entrypoint, and then for one to run. So few may wait that others have room.
    async fn await_place(&mut self, ticket: Ticket, places: Places) -> Result<Ticket, Settled> {
        let processor = self.processor;
        if processor.crowded.records() >= (processor.options.held_records / CROWD).max(1) {
            let now = processor.shared.clock.now();
            return Err(self.release(ticket, Some(now + LAST_CALL)));
        }
        let waiting = processor.crowded.enter(self.state.tracked.record.size());
        self.state.place = tokio::select! {
            biased;
            () = processor.stop.cancelled() => None,
            () = self.state.revoked.cancelled() => None,
            place = places.take(1) => place,
        };
        drop(waiting);
        self.place = match self.state.place {
            Some(_) => processor.place().await,
            None => None,
        };
        match self.place {
            Some(_) => Ok(ticket),
            None => Err(self.release(ticket, None)),
        }
    }

    /// Turns a disposition into the end of a ticket, in this place only.
    async fn finish(&mut self, ticket: Ticket, disposition: Disposition) -> Left {
        match disposition {
            Disposition::Ack(outputs) => self.settle(ticket, outputs).await,
            Disposition::RetryIn(pause) => Left::Wait(ticket, self.after(pause)),
            Disposition::Release => Left::Nothing(self.release(ticket, None)),
            Disposition::RunExclusively => Left::RunExclusively(ticket),
            Disposition::AwaitPlace(places) => Left::AwaitPlace(ticket, places),
        }
    }

    fn after(&self, pause: Duration) -> Timestamp {
        self.processor.shared.clock.now() + pause
    }

    /// Gives the delivery back with the count of its failed attempts.
    fn release(&self, ticket: Ticket, not_before: Option<Timestamp>) -> Settled {
        ticket.release_failed(not_before, self.state.tracked.attempts.in_memory)
    }

    /// Settles. A settle that fails is tried again later, since the state may be written already. The records that were
    /// published are not published again.
    async fn settle(&mut self, mut ticket: Ticket, mut outputs: Outputs) -> Left {
        self.processor.shared.note_written(&outputs.records);
        if self.state.hand_in.is_some() {
            // The first settle: later ones publish the same records again.
            dead_letter::observe(self.processor.observer.as_deref(), &outputs.records);
        }
        // Without outputs there is nothing to wait for.
        if let Some(hand_in) = self.state.hand_in.take()
            && !outputs.records.is_empty()
        {
            let is_observed = hand_in.number.is_multiple_of(OBSERVED_SETTLES);
            self.state.settling = self.observed_now(is_observed);
            let span = self.settle_span();
            self.state.settle_span = (!span.is_none()).then(|| Box::new(span));
            match ticket.hand_in(outputs.records, hand_in.number, hand_in.results) {
                Ok(proof) => return Left::Result(proof, outputs.relayed),
                Err((kept, records)) => (ticket, outputs.records) = (kept, records),
            }
        }
        match self.settle_now(ticket, &outputs.records).await {
            Ok(settled) => {
                if !settled.is_lost() {
                    self.mark_relayed(&outputs.relayed).await;
                }
                Left::Nothing(settled)
            }
            Err(NotSettled { source, ticket, .. }) => {
                let (pause, published) = self.hold(outputs, source);
                self.mark_relayed(&published).await;
                Left::Wait(ticket, self.after(pause))
            }
        }
    }

    /// Settles, and gives the place of the delivery to others while the transport makes it wait.
    async fn settle_now(
        &mut self,
        ticket: Ticket,
        outputs: &[Record],
    ) -> Result<Settled, NotSettled> {
        // Without outputs there is no wait to be observed.
        let began = self.observed_now(!outputs.is_empty());
        let span = self.settle_span();
        let settled = self.settle_here(ticket, outputs).instrument(span).await;
        if let (Some(began), Ok(_), Some(observer)) = (began, &settled, &self.processor.observer) {
            observer.observe(&Observation::Settled {
                topic: &self.state.tracked.record.topic,
                duration: self.processor.shared.clock.now().since(began),
            });
        }
        settled
    }

    /// Returns the present time if the settle is observed.
    fn observed_now(&self, is_wanted: bool) -> Option<Timestamp> {
        let observer = self.processor.observer.as_ref().filter(|_| is_wanted);
        observer.map(|_| self.processor.shared.clock.now())
    }

    /// Makes the span around the settle, a child of the attempt, where the tracer wants it.
    fn settle_span(&mut self) -> Span {
        let tracer = self.processor.shared.tracer();
        match (tracer, self.state.trace.take()) {
            (Some(tracer), Some(attempt)) => {
                traces::settle_span(tracer, &self.state.tracked.record.topic, &attempt)
            }
            _ => Span::none(),
        }
    }

    async fn settle_here(
        &mut self,
        ticket: Ticket,
        outputs: &[Record],
    ) -> Result<Settled, NotSettled> {
        let mut settling = pin!(ticket.settle(outputs));
        let at_once = std::future::poll_fn(|cx| match settling.as_mut().poll(cx) {
            Poll::Ready(settled) => Poll::Ready(Some(settled)),
            Poll::Pending => Poll::Ready(None),
        });
        match at_once.await {
            Some(settled) => settled,
            None => {
                drop(self.place.take());
                settling.await
            }
        }
    }

    /// Keeps the outputs of a settle that failed. Returns how long to wait until the next try, and which outputs of the store
    /// are published.
    fn hold(&mut self, mut outputs: Outputs, error: Error) -> (Duration, Vec<OutputId>) {
        let (processor, state) = (self.processor, &mut self.state);
        let mut pause = backoff(state.failed_settles);
        state.failed_settles += 1;
        let topic = &state.tracked.record.topic;
        processor.observe(&Observation::SettleFailed { topic });
        let partition = state.tracked.origin.map_or(0, |origin| origin.partition);
        let held = HeldPartition::new(topic.clone(), partition, error.report());
        let held = processor.unsettled.insert(held);
        let shown: &dyn std::error::Error = &error;
        tracing::error!(target: "kser", %topic, error = shown, tries = state.failed_settles, "settling a delivery failed; it is held and tried again");
        let mut published = Vec::new();
        match error {
            Error::Unpublished { source } => {
                (published, state.refused) = outputs.part(source.failed);
            }
            // Of records that are settled together none is published.
            error if error.is_too_large() => {
                let largest = processor.shared.description.largest_record;
                state.refused = outputs.take_larger(largest);
            }
            _ => {}
        }
        if !state.refused.is_empty() {
            // A topic that refuses a record now refuses it later.
            pause = Duration::ZERO;
        }
        state.held = Some(held);
        state.unsettled = Some(outputs);
        (pause, published)
    }

    async fn mark_relayed(&self, outputs: &[OutputId]) {
        mark_relayed(self.processor, outputs).await;
    }

    /// Waits until then. Says whether to go on: not if the delivery goes to another consumer, or this one stops.
    async fn wait(&self, until: Timestamp) -> bool {
        let (processor, state) = (self.processor, &self.state);
        let pause = until.since(processor.shared.clock.now());
        // A delivery that cannot be settled or decided holds up those behind it.
        let is_parked = state.failed_settles == 0;
        let size = state.tracked.record.size();
        let _parked = is_parked.then(|| processor.parked.enter(size));
        tokio::select! {
            biased;
            () = processor.stop.cancelled() => false,
            () = state.revoked.cancelled() => false,
            () = sleep(pause) => true,
        }
    }

    /// Waits until then, and for a place to go on in. `None` if the delivery is not to go on.
    async fn pause(&self, until: Timestamp) -> Option<OwnedSemaphorePermit> {
        match self.wait(until).await {
            true => self.processor.place().await,
            false => None,
        }
    }

    /// Parts from a delivery that waits. It comes again in its place, with the count of its attempts where the transport
    /// keeps that.
    async fn leave(&mut self, ticket: Ticket, until: Timestamp) -> Settled {
        let outputs = match self.state.unsettled.take() {
            // A record is to go out that is not written yet: the delivery comes again, and it follows from that.
            Some(_) if !self.state.refused.is_empty() => return self.release(ticket, None),
            Some(outputs) => outputs,
            None => {
                let has_failed = self.state.tracked.attempts.in_memory > 0;
                return self.release(ticket, Some(until).filter(|_| has_failed));
            }
        };
        match ticket.settle(&outputs.records).await {
            Ok(settled) => {
                // Outputs of a lost delivery are not published: the store keeps them for a sweep.
                if !settled.is_lost() {
                    self.mark_relayed(&outputs.relayed).await;
                }
                settled
            }
            Err(NotSettled { source, ticket, .. }) => {
                tracing::error!(
                    target: "kser",
                    error = &source as &dyn std::error::Error,
                    "settling a delivery failed; it is released and comes again"
                );
                self.release(ticket, None)
            }
        }
    }
}

/// Decides how a delivery ends, or for how long it waits.
async fn dispose(state: &mut DeliveryState<'_>) -> Disposition {
    if let Some(outputs) = state.unsettled.take() {
        return Box::pin(unpublishable::replace(state, outputs)).await;
    }
    match route(state).await {
        Ok(disposition) => {
            state.held = None;
            disposition
        }
        Err(error) => hold_undecided(state, &error),
    }
}

/// Waits in hand for an error that may pass. For one that will not pass here another consumer may understand the message, for as
/// long as an unknown entrypoint waits; then it goes to the dead letters.
fn hold_undecided(state: &mut DeliveryState<'_>, error: &Error) -> Disposition {
    let processor = state.processor;
    let report = kser_core::log::report(error);
    // An error of the store is no fault of the message: the delivery is held, even if the store calls the error permanent.
    let is_held = error.is_temporary() || matches!(error, Error::Backend { .. });
    if !is_held {
        if state.may_wait() {
            log_undecided(state, &report, "waits for another consumer");
            return state.look_again();
        }
        let (tracked, failed) = (&state.tracked, state.tracked.attempts.failed);
        let dead_letter =
            dead_letter::write_within(tracked, failed, &*error.report(), &processor.shared);
        if let Ok(dead_letter) = dead_letter {
            log_undecided(state, &report, "becomes a dead letter");
            return Disposition::ack_with(vec![dead_letter]);
        }
    }
    log_undecided(state, &report, "is held and tried again");
    state.failed_settles += 1;
    let record = &state.tracked.record;
    let partition = state.tracked.origin.map_or(0, |origin| origin.partition);
    let held = HeldPartition::new(record.topic.clone(), partition, report);
    state.held = Some(processor.unsettled.insert(held));
    Disposition::RetryIn(backoff(state.failed_settles))
}

/// Logs an error of handling a delivery, and the disposition of its record.
fn log_undecided(state: &DeliveryState<'_>, error: &str, consequence: &str) {
    let origin = state.tracked.origin;
    tracing::error!(
        target: "kser",
        topic = %state.tracked.record.topic,
        partition = origin.map(|origin| origin.partition),
        offset = origin.map(|origin| origin.offset),
        error,
        "handling a record failed; it {consequence}",
    );
}
