//! The delivery reports of the brokers for published records.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;

use kser_core::{Error, Record, Timestamp};
use rdkafka::Message as _;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Timestamp as Stamp};
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::background_drop::BackgroundDrop;
use crate::broker_log::BrokerErrors;
use crate::clock::Time;
use crate::error::{code, failed, not_published};
use crate::rebootstrap::Rebootstrap;

/// The offset of the first record of a transaction in each partition, by topic.
pub(crate) type FirstOffsets = BTreeMap<String, BTreeMap<i32, i64>>;

/// Receives the delivery report of each record.
pub(crate) struct DeliveryReports {
    broker_errors: BrokerErrors,
    time: Time,
    /// The offset of the first record in each partition, since they were forgotten. Only a transactional producer needs them.
    first_offsets: Option<Mutex<FirstOffsets>>,
    /// The number of connections that were lost.
    disconnects: AtomicUsize,
    /// The producer, once it is created.
    producer: OnceLock<Weak<ProducerClient>>,
}

impl DeliveryReports {
    /// Adds errors about the brokers to those of other clients.
    pub(crate) fn new(broker_errors: &BrokerErrors, time: Time) -> Self {
        Self {
            broker_errors: broker_errors.for_another_client(),
            time,
            first_offsets: None,
            disconnects: AtomicUsize::new(0),
            producer: OnceLock::new(),
        }
    }

    /// Creates a producer that sends its reports here.
    pub(super) fn make_client(self, config: &ClientConfig) -> Result<Arc<ProducerClient>, Error> {
        let made: KafkaResult<ThreadedProducer<_>> = config.create_with_context(self);
        let made = made.map_err(|error| failed("creating a producer", None, error))?;
        let made = Arc::new(BackgroundDrop::new(made));
        let _ = made.context().producer.set(Arc::downgrade(&made));
        Ok(made)
    }

    /// Keeps the offsets of the first records of each transaction.
    pub(super) fn with_first_offsets(mut self) -> Self {
        self.first_offsets = Some(Mutex::default());
        self
    }

    /// Takes the offset of the first record in each partition since the last call.
    pub(crate) fn take_first_offsets(&self) -> FirstOffsets {
        let Some(offsets) = &self.first_offsets else {
            return FirstOffsets::new();
        };
        std::mem::take(&mut *offsets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note_offset(&self, message: &BorrowedMessage<'_>) {
        let Some(offsets) = &self.first_offsets else {
            return;
        };
        let mut offsets = offsets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_topic) = offsets.get_mut(message.topic()) {
            let offset = message.offset();
            of_topic.entry(message.partition()).or_insert(offset);
            return;
        }
        let first = BTreeMap::from([(message.partition(), message.offset())]);
        offsets.insert(message.topic().to_owned(), first);
    }

    /// Returns the number of connections that the client has lost.
    pub(crate) fn n_disconnects(&self) -> usize {
        self.disconnects.load(Ordering::Acquire)
    }

    /// Says whether the client is to get its bootstrap servers again.
    #[cfg(test)]
    pub(super) fn starts_again(&self) -> bool {
        self.broker_errors.rebootstrap.next_start().is_some()
    }

    /// Notes that all brokers are down, and has a thread start the client again: it may have nothing to send, and the thread that
    /// polls it is not ours.
    fn note_outage(&self) {
        let Some(producer) = self.producer.get().cloned() else {
            return;
        };
        let rebootstrap = self.broker_errors.rebootstrap.clone();
        if rebootstrap.note_outage() {
            let thread = thread::Builder::new().name("kser-kafka-start".to_owned());
            let _ = thread.spawn(move || start_again(&rebootstrap, &producer));
        }
    }

    /// Measures the brokers' clock with a record that they stamped.
    fn measure(&self, sent: Timestamp, message: &BorrowedMessage<'_>) {
        if let Stamp::LogAppendTime(millis) = message.timestamp()
            && let Ok(millis) = u64::try_from(millis)
        {
            let stamp = Timestamp::from_millis(millis);
            self.time
                .broker
                .add_measurement(sent, stamp, self.time.now());
        }
    }
}

/// Starts a producer until no start is to come.
fn start_again(rebootstrap: &Rebootstrap, producer: &Weak<ProducerClient>) {
    while let Some(wait) = rebootstrap.next_start() {
        thread::sleep(wait);
        let Some(producer) = producer.upgrade() else {
            return;
        };
        rebootstrap.start_if_due(producer.client());
    }
}

/// A producer that may be dropped on any thread.
pub(crate) type ProducerClient = BackgroundDrop<ThreadedProducer<DeliveryReports>>;

impl ClientContext for DeliveryReports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.broker_errors.log(level, facility, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.disconnects.fetch_add(1, Ordering::AcqRel);
        match code(&error) {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.note_outage(),
            _ => self.broker_errors.error(error, reason),
        }
    }
}

impl ProducerContext for DeliveryReports {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Box<Slot>) {
        if let (Ok(message), Some(sent)) = (result, slot.sent) {
            self.measure(sent, message);
        }
        if let Ok(message) = result {
            self.note_offset(message);
        }
        // A client that knows no broker reports no outage.
        if matches!(result, Err((error, _)) if code(error) == Some(RDKafkaErrorCode::MessageTimedOut))
        {
            self.note_outage();
        }
        let error = result.as_ref().err().map(|(error, message)| {
            not_published(
                error.clone(),
                message.topic(),
                message.payload_len() + message.key_len(),
            )
        });
        slot.finish(error);
    }
}

/// The position of a record in its batch.
pub(crate) struct Slot {
    batch: Arc<Batch>,
    index: usize,
    /// The time of sending, if the report measures the brokers' clock.
    sent: Option<Timestamp>,
    /// The part of the limit of records in flight, until this is dropped.
    room: Option<OwnedSemaphorePermit>,
}

impl Slot {
    pub(crate) fn new(
        batch: &Arc<Batch>,
        index: usize,
        room: Option<OwnedSemaphorePermit>,
    ) -> Box<Self> {
        Box::new(Self {
            batch: Arc::clone(batch),
            index,
            sent: None,
            room,
        })
    }

    /// Makes the report measure the brokers' clock, for a record that is sent now.
    pub(crate) const fn measure_from(&mut self, now: Timestamp) {
        self.sent = Some(now);
    }

    pub(crate) fn finish(self, error: Option<Error>) {
        // The caller that the report wakes finds the room.
        drop(self.room);
        self.batch.report(self.index, error);
    }
}

/// Takes the records of a batch, and the positions and errors of those that failed.
type Callback = Box<dyn FnOnce(&[Record], Vec<(usize, Error)>) + Send + Sync>;

/// Takes the position and the error of a record that failed.
type OnFailure = Box<dyn Fn(usize, Error) + Send + Sync>;

/// Records that are sent together, and their results.
pub(crate) struct Batch {
    left: AtomicUsize,
    failed: Mutex<Vec<(usize, Error)>>,
    /// Takes each failure at once, in place of `failed`.
    on_failure: Option<OnFailure>,
    reported: Notify,
    callback: Mutex<Option<Callback>>,
    /// The records, if the callback needs them.
    records: Vec<Record>,
}

impl Batch {
    pub(crate) fn new(records: usize) -> Arc<Self> {
        Arc::new(Self::empty(records))
    }

    /// Makes a batch of a single record, which calls `done` with the result.
    pub(crate) fn with_callback(
        done: impl FnOnce(Result<(), Error>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let done = move |_: &[Record], failed: Vec<(usize, Error)>| {
            done(
                failed
                    .into_iter()
                    .next()
                    .map_or(Ok(()), |(_, error)| Err(error)),
            );
        };
        Arc::new(Self {
            callback: Mutex::new(Some(Box::new(done))),
            ..Self::empty(1)
        })
    }

    /// Makes a batch that calls `failed` with each record that failed as soon as it is reported, and `done` once all records are.
    pub(crate) fn with_failures(
        records: usize,
        failed: impl Fn(usize, Error) + Send + Sync + 'static,
        done: impl FnOnce() + Send + Sync + 'static,
    ) -> Arc<Self> {
        let done = move |_: &[Record], _: Vec<(usize, Error)>| done();
        Arc::new(Self {
            callback: Mutex::new(Some(Box::new(done))),
            on_failure: Some(Box::new(failed)),
            ..Self::empty(records)
        })
    }

    /// Makes a batch of records, which calls `done` with the positions and errors of those that failed.
    pub(crate) fn of(
        records: Vec<Record>,
        done: impl FnOnce(&[Record], Vec<(usize, Error)>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            callback: Mutex::new(Some(Box::new(done))),
            left: AtomicUsize::new(records.len()),
            records,
            ..Self::empty(0)
        })
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    fn empty(records: usize) -> Self {
        Self {
            left: AtomicUsize::new(records),
            failed: Mutex::default(),
            on_failure: None,
            reported: Notify::new(),
            callback: Mutex::default(),
            records: Vec::new(),
        }
    }

    pub(crate) fn report(&self, index: usize, error: Option<Error>) {
        match (error, &self.on_failure) {
            (Some(error), Some(on_failure)) => on_failure(index, error),
            (Some(error), None) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push((index, error));
            }
            (None, _) => {}
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.reported.notify_one();
            let callback = self
                .callback
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(callback) = callback {
                callback(&self.records, self.take_failed());
            }
        }
    }

    pub(crate) async fn all_reported(&self) {
        while self.left.load(Ordering::Acquire) > 0 {
            self.reported.notified().await;
        }
    }

    pub(crate) fn take_failed(&self) -> Vec<(usize, Error)> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failed = std::mem::take(&mut *failed);
        failed.sort_by_key(|(index, _)| *index);
        failed
    }
}
