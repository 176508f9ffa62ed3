use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use kser_core::{Delivery, Error, HandInReports, HeldPartition, Room, Subscription};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use super::handed_in::Results;
use super::handle::{ConsumerHandle, ConsumerHealth};
use super::processor::{Processor, backoff};
use super::work_queue::{Call, WorkQueue};
use super::workers::Workers;

/// The interval between the updates of the health of a consumer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The share of the held records that may wait in one lane: 1 / `LANE`.
const LANE: usize = 4;

/// The number of parked records that do not count against the limit of held records, as a multiple of that limit.
const PARKED: usize = 16;

/// The largest number of deliveries that are handed in and wait for their results, as a multiple of the limit of held records.
/// Their size has the limit of the held bytes once more.
const HANDED_IN: usize = 4;

/// The dispatcher of a consumer: it receives deliveries, puts them into the queue of the workers, and takes the results of those
/// that are handed in.
pub(crate) struct Dispatcher {
    processor: Arc<Processor>,
    queue: Arc<WorkQueue>,
    workers: Workers,
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
        let held_records = processor.options.held_records;
        let places = processor.places.clone();
        let queue = Arc::new(WorkQueue::new(places, held_records, held_records / LANE));
        let results = Arc::new(Results::default());
        let reports: Arc<dyn HandInReports> = Arc::<Results>::clone(&results);
        Self {
            workers: Workers::new(Arc::clone(&processor), Arc::clone(&queue), reports),
            processor,
            queue,
            results,
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
            let awaits_place = self.call_workers();
            let room = self.room();
            let retry_at = self.trouble.as_ref().map(|trouble| trouble.retry_at);
            let retry_at = retry_at.filter(|at| *at > Instant::now());
            let receiving = room.records > 0 && !paused.is_paused() && retry_at.is_none();
            tokio::select! {
                biased;
                told = self.results.take() => self.queue.note(told),
                () = self.queue.changed() => {}
                () = self.workers.panic() => {}
                place = self.processor.places.take_spare(), if awaits_place => self.queue.grant(place),
                _ = changes.changed() => {}
                () = self.processor.parked.changed(), if room.records == 0 => {}
                _ = look.tick() => handle.set_health(self.health(subscriptions)),
                () = sleep_until(retry_at.unwrap_or_else(Instant::now)), if retry_at.is_some() => {}
                received = receive(subscriptions, room), if receiving => match received {
                    Ok(deliveries) => {
                        self.trouble = None;
                        let clock = &self.processor.shared.clock;
                        self.queue.admit(deliveries, || clock.now());
                    }
                    Err(error) if error.is_temporary() => self.try_again(error),
                    Err(error) => return self.reason(error),
                },
            }
        }
    }

    /// Has a worker take the work that is ready. Says whether that has to wait for a place.
    fn call_workers(&mut self) -> bool {
        match self.queue.call() {
            Call::Nothing => false,
            Call::Hire => {
                self.workers.hire();
                false
            }
            Call::AwaitPlace => true,
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
        self.queue.end();
        let all = async {
            while !self.queue.is_done() {
                self.call_workers();
                tokio::select! {
                    biased;
                    told = self.results.take() => self.queue.note(told),
                    () = self.queue.changed() => {}
                    () = self.workers.panic() => {}
                }
            }
            self.queue.close();
            self.workers.end().await;
        };
        tokio::time::timeout(grace, all).await
    }

    fn health(&self, subscriptions: &[Box<dyn Subscription>]) -> ConsumerHealth {
        let transport: Vec<_> = subscriptions.iter().map(|member| member.health()).collect();
        let shared = &self.processor.shared;
        if shared.store.is_some() {
            self.processor.queues.look(&transport, &self.queue.waited());
        }
        let (held, handed_in) = self.queue.load();
        ConsumerHealth {
            transport,
            held: held.records + handed_in.records,
            held_bytes: held.bytes + handed_in.bytes,
            parked: self.processor.parked.records(),
            unsettled: self.unsettled(),
            store: shared.store.as_ref().map(|store| store.health()),
            encryption: shared.writer.payloads.health(),
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

    /// Returns the room for more deliveries. Those that are parked or handed in have limits of their own.
    fn room(&self) -> Room {
        let (options, parked) = (&self.processor.options, &self.processor.parked);
        self.queue.room(|held, handed_in| {
            let most = options.held_records.saturating_mul(PARKED);
            let held_records = held.records.saturating_sub(parked.records().min(most));
            let records = options.held_records.saturating_sub(held_records);
            let most = options.held_records.saturating_mul(HANDED_IN);
            let records = records.min(most.saturating_sub(handed_in.records));
            let held_bytes = held
                .bytes
                .saturating_sub(parked.bytes().min(options.held_bytes));
            let bytes = options
                .held_bytes
                .saturating_sub(held_bytes.max(handed_in.bytes));
            let records = match bytes {
                0 => 0,
                _ => records,
            };
            Room::new(records, bytes)
        })
    }
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
