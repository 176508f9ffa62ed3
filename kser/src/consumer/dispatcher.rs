use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kser_core::{Delivery, Error, HeldPartition, Room, Subscription, Told};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use super::delivery::process::{End, Finished, ReturnedWork};
use super::handed_in::{HandInPlace, HandedInDeliveries, Resolution, Results};
use super::handle::{ConsumerHandle, ConsumerHealth};
use super::lanes::Lanes;
use super::processor::{Processor, backoff};
use super::workers::Workers;

/// The interval between the updates of the health of a consumer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The share of the held records that may wait in one lane: 1 / `LANE`.
const LANE: usize = 4;

/// The number of parked records that do not count against the limit of held records, as a multiple of that limit.
const PARKED: usize = 16;

/// The dispatcher of a consumer: the running deliveries, and the ones that wait for their turn.
pub(crate) struct Dispatcher {
    processor: Arc<Processor>,
    lanes: Lanes,
    workers: Workers,
    handed_in: HandedInDeliveries,
    results: Arc<Results>,
    trouble: Option<Trouble>,
}

/// Temporary errors of `receive` in a row.
struct Trouble {
    latest: Error,
    count: u32,
    retry_at: Instant,
}

impl Dispatcher {
    pub(crate) fn new(processor: Arc<Processor>) -> Self {
        Self {
            lanes: Lanes::new(processor.options.held_records / LANE),
            workers: Workers::new(Arc::clone(&processor)),
            processor,
            handed_in: HandedInDeliveries::default(),
            results: Arc::default(),
            trouble: None,
        }
    }

    /// Receives deliveries and runs them, until receiving fails for good; after a temporary error it receives again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the dispatcher keeps the deliveries that it holds.
    pub(crate) async fn work(
        &mut self,
        subscriptions: &mut [Box<dyn Subscription>],
        handle: &ConsumerHandle,
    ) -> Error {
        let paused = handle.paused();
        let mut changes = paused.changes();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start_ready();
            let room = self.room();
            let retry_at = self.trouble.as_ref().map(|trouble| trouble.retry_at);
            let retry_at = retry_at.filter(|at| *at > Instant::now());
            let receiving = room.records > 0 && !paused.is_paused() && retry_at.is_none();
            tokio::select! {
                biased;
                (number, end) = self.workers.finished() => {
                    self.accept(number, end);
                    while let Some((number, end)) = self.workers.try_finished() {
                        self.accept(number, end);
                    }
                }
                told = self.results.take() => self.note_results(told),
                place = place(&self.processor), if self.lanes.is_ready() => self.start(place),
                _ = changes.changed() => {}
                () = self.processor.parked.changed(), if room.records == 0 => {}
                _ = look.tick() => handle.set_health(self.health(subscriptions)),
                () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {}
                received = receive(subscriptions, room), if receiving => match received {
                    Ok(deliveries) => {
                        self.trouble = None;
                        for delivery in deliveries {
                            let clock = &self.processor.shared.clock;
                            self.lanes.admit(delivery, || clock.now());
                        }
                    }
                    Err(error) if error.is_temporary() => self.try_again(error),
                    Err(error) => return self.reason(error),
                },
            }
        }
    }

    /// Delays the next `receive` with a backoff, after a temporary error.
    fn try_again(&mut self, latest: Error) {
        let count = self.trouble.as_ref().map_or(0, |trouble| trouble.count) + 1;
        let pause = backoff(count);
        tracing::warn!(target: "kser", error = kser_core::log::report(&latest), count, "receive failed; trying again in {pause:?}");
        self.trouble = Some(Trouble {
            latest,
            count,
            retry_at: Instant::now() + pause,
        });
    }

    /// Returns why receiving has ended: a subscription that only says that it is closed has said why before.
    fn reason(&mut self, error: Error) -> Error {
        match (error, self.trouble.take()) {
            (Error::Closed, Some(trouble)) => trouble.latest,
            (error, _) => error,
        }
    }

    /// Releases the deliveries that have not started, and waits for the running ones.
    pub(crate) async fn end(&mut self, grace: Duration) -> Result<(), Elapsed> {
        self.lanes.release_waiting();
        let all = async {
            while !self.workers.is_idle() || !self.handed_in.is_empty() {
                tokio::select! {
                    biased;
                    (number, end) = self.workers.finished() => self.accept(number, end),
                    told = self.results.take() => self.note_results(told),
                }
                self.lanes.release_waiting();
            }
            self.workers.end().await;
        };
        tokio::time::timeout(grace, all).await
    }

    fn health(&self, subscriptions: &[Box<dyn Subscription>]) -> ConsumerHealth {
        let transport: Vec<_> = subscriptions.iter().map(|member| member.health()).collect();
        let shared = &self.processor.shared;
        if shared.store.is_some() {
            self.processor.queues.look(&transport, &self.lanes.waited());
        }
        ConsumerHealth {
            transport,
            held: self.lanes.records(),
            held_bytes: self.lanes.bytes(),
            parked: self.processor.parked.records(),
            unsettled: self.unsettled(),
            store: shared.store.as_ref().map(|store| store.health()),
            ..ConsumerHealth::default()
        }
    }

    /// Lists the partitions of which deliveries are held, each with one reason.
    fn unsettled(&self) -> Vec<HeldPartition> {
        let mut held = self.processor.unsettled.list();
        // Stable: the oldest reason stays.
        held.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        held.dedup_by(|a, b| (&a.topic, a.partition) == (&b.topic, b.partition));
        held
    }

    fn room(&self) -> Room {
        let (options, parked) = (&self.processor.options, &self.processor.parked);
        let beside = parked.records();
        let beside = beside.min(options.held_records.saturating_mul(PARKED));
        let held = self.lanes.records().saturating_sub(beside);
        let records = options.held_records.saturating_sub(held);
        let beside = parked.bytes().min(options.held_bytes);
        let held = self.lanes.bytes().saturating_sub(beside);
        let bytes = options.held_bytes.saturating_sub(held);
        let records = match bytes {
            0 => 0,
            _ => records,
        };
        Room::new(records, bytes)
    }

    fn start_ready(&mut self) {
        while self.lanes.is_ready() {
            match Arc::clone(&self.processor.places).try_acquire_owned() {
                Ok(place) => self.start(Some(place)),
                Err(_) => return,
            }
        }
    }

    fn start(&mut self, place: Option<OwnedSemaphorePermit>) {
        if let (Some(place), Some(turn)) = (place, self.lanes.next()) {
            let number = self.number();
            self.workers.start(turn, place, number);
        }
    }

    /// Takes a number by which the result of a delivery finds it.
    fn number(&mut self) -> HandInPlace {
        let results = Arc::<Results>::clone(&self.results);
        HandInPlace {
            number: self.handed_in.start(),
            results,
        }
    }

    /// Takes the end of the work on a delivery.
    fn accept(&mut self, number: u64, end: End) {
        match end {
            End::Finished(finished) => {
                self.handed_in.finish(number);
                self.finish(finished);
            }
            End::HandedIn(delivery) => {
                let resolved = self.handed_in.hand_in(number, delivery);
                self.resolve(resolved);
            }
        }
    }

    /// Takes the results of deliveries that were handed in.
    fn note_results(&mut self, told: Vec<Told>) {
        for told in told {
            let resolved = self.handed_in.note(told);
            self.resolve(resolved);
        }
    }

    /// Finishes a delivery whose result arrived, or has a worker settle it.
    fn resolve(&mut self, resolved: Option<Resolution>) {
        match resolved {
            None => {}
            // Outputs of a lost delivery are not published: the store keeps them for a sweep.
            Some(Resolution::Ended(delivery, settled))
                if !delivery.relayed.is_empty() && !settled.is_lost() && !settled.is_released() =>
            {
                let number = self.number();
                self.workers.finish_relayed(delivery, settled, number);
            }
            Some(Resolution::Ended(delivery, settled)) => {
                let delivery = *delivery;
                self.finish(Finished::new(
                    &settled,
                    &delivery.tracked.record.topic,
                    delivery.lane,
                    delivery.bytes,
                ));
            }
            Some(Resolution::Returned(delivery, returned)) => {
                let number = self.number();
                self.workers
                    .finish_returned(ReturnedWork { delivery, returned }, number);
            }
        }
    }

    fn finish(&mut self, finished: Finished) {
        let Finished {
            lane,
            bytes,
            given_back,
        } = finished;
        self.lanes.finish(lane, bytes, given_back);
    }
}

async fn place(processor: &Processor) -> Option<OwnedSemaphorePermit> {
    Arc::clone(&processor.places).acquire_owned().await.ok()
}

/// Receives from whichever subscription has something, in turn.
async fn receive(
    subscriptions: &mut [Box<dyn Subscription>],
    room: Room,
) -> Result<Vec<Delivery>, Error> {
    if let [only] = subscriptions {
        return only.receive(room).await;
    }
    let received = {
        let mut receiving: Vec<Pin<Box<_>>> = subscriptions
            .iter_mut()
            .map(|subscription| Box::pin(subscription.receive(room)))
            .collect();
        std::future::poll_fn(|cx| {
            for (index, receiving) in receiving.iter_mut().enumerate() {
                if let Poll::Ready(received) = receiving.as_mut().poll(cx) {
                    return Poll::Ready(received.map(|received| (index, received)));
                }
            }
            Poll::Pending
        })
        .await
    };
    let (index, deliveries) = received?;
    // The subscription that has just delivered is polled last the next time, for fairness.
    if let Some(tail) = subscriptions.get_mut(index..) {
        tail.rotate_left(1);
    }
    Ok(deliveries)
}
