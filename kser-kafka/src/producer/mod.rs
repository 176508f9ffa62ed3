mod delivery_report;
mod single_record_producer;
mod turns;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use kser_core::{Error, NotPublished, Record, Topic};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::broker_log::BrokerErrors;
use crate::clock::Time;
use crate::delay::{self, DelayTarget};
use crate::error::not_published;
pub(crate) use crate::producer::delivery_report::ProducerClient;
use crate::producer::delivery_report::{Batch, DeliveryReports, Slot};
use crate::producer::single_record_producer::SingleRecordProducer;
use crate::producer::turns::Turns;

/// The limit of the records in flight to the brokers, in bytes. A call that would exceed it waits.
const ON_THE_WAY: u32 = 64 << 20;

/// The timeout of reading the metadata of a topic.
const LEARN: Duration = Duration::from_secs(5);

/// The overhead of a record in flight, in bytes.
const OVERHEAD: usize = 128;

/// Sends records and waits for their delivery reports.
pub(crate) struct Publisher {
    config: ClientConfig,
    producer: RwLock<Arc<ProducerClient>>,
    room: Arc<Semaphore>,
    broker_errors: BrokerErrors,
    pub(crate) time: Time,
    turns: Turns,
    single_records: SingleRecordProducer,
}

impl Publisher {
    pub(crate) fn new(
        config: ClientConfig,
        broker_errors: BrokerErrors,
        time: Time,
    ) -> Result<Self, Error> {
        let room = Arc::new(Semaphore::new(ON_THE_WAY as usize));
        let reports = DeliveryReports::new(&broker_errors, time.clone());
        let producer = reports.make_client(&config)?;
        let single_records =
            SingleRecordProducer::new(&config, broker_errors.clone(), time.clone());
        Ok(Self {
            config,
            producer: RwLock::new(producer),
            room,
            broker_errors,
            time,
            turns: Turns::default(),
            single_records,
        })
    }

    /// Sends records in order, and waits for the report of each. The first poll of the future hands the records to the client,
    /// as far as the limit of records in flight allows.
    pub(crate) async fn publish(&self, records: &[Record]) -> Result<(), NotPublished> {
        let producer = self.producer();
        let all = records.iter().enumerate();
        let failed = self.publish_with(&producer, all, records.len()).await;
        if failed.is_empty() {
            return Ok(());
        }
        self.replace_if_fatal(&producer);
        let failed = self.publish_alone(records, failed).await;
        match failed.is_empty() {
            true => Ok(()),
            false => Err(NotPublished::new(failed)),
        }
    }

    /// Sends records with a producer, and returns the positions and errors of those that failed.
    async fn publish_with(
        &self,
        producer: &ProducerClient,
        records: impl Iterator<Item = (usize, &Record)> + Send,
        count: usize,
    ) -> Vec<(usize, Error)> {
        let batch = Batch::new(count);
        let mut turn = None;
        for (index, record) in records {
            if let Err(error) = delay::refuse(record, &self.time) {
                batch.report(index, Some(error));
                continue;
            }
            if turn.is_none()
                && self.turns.is_idle()
                && self.hand_over(producer, record, &batch, index)
            {
                continue;
            }
            // Calls that wait take turns, since the semaphore and the queue may wake them in any order.
            if turn.is_none() {
                turn = Some(self.turns.next().await);
            }
            self.wait_to_hand_over(producer, record, &batch, index)
                .await;
        }
        drop(turn);
        batch.all_reported().await;
        batch.take_failed()
    }

    /// Sends a record without waiting, for threads that must not block, and calls `done` with the result. A record that is
    /// refused for the size of its batch is retried in a batch of its own.
    pub(crate) fn send(
        self: &Arc<Self>,
        record: Record,
        done: impl FnOnce(Result<(), Error>) + Send + Sync + 'static,
    ) {
        // `publish` checks this afterwards, which no caller does here.
        self.replace_if_fatal(&self.producer());
        let publisher = Arc::clone(self);
        let again = record.clone();
        self.start(&self.producer(), &record, move |sent| match sent {
            Err(error) if is_of_batch(&error) => publisher.send_alone(again, error, done),
            sent => done(sent),
        });
    }

    /// Takes room for records that are sent next. `None` if earlier calls wait, or there is not enough.
    pub(crate) fn room_for(&self, records: &[Record]) -> Option<OwnedSemaphorePermit> {
        let all = records.iter().map(cost).fold(0, u32::saturating_add);
        match self.turns.is_idle() {
            true => Arc::clone(&self.room).try_acquire_many_owned(all).ok(),
            false => None,
        }
    }

    /// Sends records without waiting, and calls `done` with all of them and with the positions and errors of those that failed.
    pub(crate) fn send_all(
        &self,
        records: Vec<Record>,
        mut room: OwnedSemaphorePermit,
        done: impl FnOnce(&[Record], Vec<(usize, Error)>) + Send + Sync + 'static,
    ) {
        let (producer, batch) = (self.producer(), Batch::of(records, done));
        let mut is_full = false;
        for (index, record) in batch.records().iter().enumerate() {
            let slot = Slot::new(&batch, index, room.split(cost(record) as usize));
            let sent = match is_full {
                // A later record must not overtake one of its key that the queue of the client did not take.
                true => Err((full(), slot)),
                false => send(&producer, record, slot, &self.time),
            };
            if let Err((error, slot)) = sent {
                is_full |= error == full();
                let error = not_published(error, record.topic.as_str(), record.size());
                slot.finish(Some(error));
            }
        }
    }

    /// Retries records that were refused, each in a batch of its own. Brokers refuse whole batches, and the client does not split
    /// them: small records fail along with a large one, and many small records fail together.
    async fn publish_alone(
        &self,
        records: &[Record],
        failed: Vec<(usize, Error)>,
    ) -> Vec<(usize, Error)> {
        let (refused, mut failed): (Vec<_>, Vec<_>) = failed
            .into_iter()
            .partition(|(_, error)| is_of_batch(error));
        if refused.is_empty() {
            return failed;
        }
        match self.single_records.client() {
            Ok(producer) => {
                let indices = refused.iter().map(|(index, _)| *index);
                let again = indices.filter_map(|index| Some((index, records.get(index)?)));
                failed.extend(self.publish_with(&producer, again, refused.len()).await);
            }
            Err(error) => {
                log_no_single_producer(&error);
                failed.extend(refused);
            }
        }
        failed.sort_by_key(|(index, _)| *index);
        for (index, error) in &mut failed {
            if let (Error::TooLargeForTopic { size, .. }, Some(record)) =
                (error, records.get(*index))
            {
                // The client reports the size of the payload and the key only.
                *size = record.size();
            }
        }
        failed
    }

    /// Sends a record in a batch of its own, without waiting, and calls `done` with the result. `refused` is the error of the
    /// attempt before.
    fn send_alone(
        &self,
        record: Record,
        refused: Error,
        done: impl FnOnce(Result<(), Error>) + Send + Sync + 'static,
    ) {
        let producer = match self.single_records.client() {
            Ok(producer) => producer,
            Err(error) => {
                log_no_single_producer(&error);
                return done(Err(refused));
            }
        };
        let bytes = record.size();
        self.start(&producer, &record, move |sent| {
            done(sent.map_err(|mut error| {
                if let Error::TooLargeForTopic { size, .. } = &mut error {
                    *size = bytes;
                }
                error
            }));
        });
    }

    /// Hands a record to a producer without waiting.
    fn start(
        &self,
        producer: &ProducerClient,
        record: &Record,
        done: impl FnOnce(Result<(), Error>) + Send + Sync + 'static,
    ) {
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(cost(record)) else {
            return done(Err(Error::TimedOut {
                what: "room to send a record",
            }));
        };
        let slot = Slot::new(&Batch::with_callback(done), 0, Some(room));
        if let Err((error, slot)) = send(producer, record, slot, &self.time) {
            let error = not_published(error, record.topic.as_str(), record.size());
            slot.finish(Some(error));
        }
    }

    /// Makes the producer refresh the metadata of topics that were missing before.
    pub(crate) async fn learn(&self, topics: impl Iterator<Item = &Topic>) {
        let topics: BTreeSet<_> = topics.cloned().collect();
        let (answer, learned) = oneshot::channel();
        let producer = self.producer();
        let ask = move || {
            for topic in topics {
                // If a topic is still missing, publishing fails.
                let _ = producer
                    .client()
                    .fetch_metadata(Some(topic.as_str()), LEARN);
            }
            drop(producer);
            let _ = answer.send(());
        };
        if std::thread::Builder::new().spawn(ask).is_ok() {
            let _ = learned.await;
        }
    }

    fn producer(&self) -> Arc<ProducerClient> {
        let producer = self.producer.read();
        Arc::clone(&producer.unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands a record to a producer if the limit of records in flight allows it. Returns `true` if the record was taken, or
    /// refused for good.
    fn hand_over(
        &self,
        producer: &ProducerClient,
        record: &Record,
        batch: &Arc<Batch>,
        index: usize,
    ) -> bool {
        let room = Arc::clone(&self.room).try_acquire_many_owned(cost(record));
        room.is_ok_and(|room| self.offer(producer, record, Slot::new(batch, index, Some(room))))
    }

    /// Hands a record to a producer once there is room.
    async fn wait_to_hand_over(
        &self,
        producer: &ProducerClient,
        record: &Record,
        batch: &Arc<Batch>,
        index: usize,
    ) {
        loop {
            let room = Arc::clone(&self.room).acquire_many_owned(cost(record));
            let slot = Slot::new(batch, index, room.await.ok());
            if self.offer(producer, record, slot) {
                return;
            }
            // The queue of the client is full although the limit is not reached. It has room again soon.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Offers a record to a producer. Returns `false` if the queue of the client is full.
    fn offer(&self, producer: &ProducerClient, record: &Record, slot: Box<Slot>) -> bool {
        match send(producer, record, slot, &self.time) {
            Ok(()) => true,
            Err((error, _)) if error == full() => false,
            Err((error, slot)) => {
                let error = not_published(error, record.topic.as_str(), record.size());
                slot.finish(Some(error));
                true
            }
        }
    }

    /// Replaces a producer after a fatal error, after which an idempotent producer sends nothing.
    fn replace_if_fatal(&self, used: &Arc<ProducerClient>) {
        let Some((code, reason)) = used.client().fatal_error() else {
            return;
        };
        tracing::error!(target: "kser_kafka", %code, "producer failed: {reason}; it is replaced");
        let mut current = self
            .producer
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, used) {
            return;
        }
        let reports = DeliveryReports::new(&self.broker_errors, self.time.clone());
        match reports.make_client(&self.config) {
            Ok(fresh) => *current = fresh,
            Err(error) => {
                tracing::error!(target: "kser_kafka", %error, "creating a producer failed; retrying with the next record")
            }
        }
    }
}

/// Creates a producer with a transactional id.
pub(crate) fn make_transactional_client(
    config: &ClientConfig,
    broker_errors: &BrokerErrors,
    time: Time,
) -> Result<Arc<ProducerClient>, Error> {
    let reports = DeliveryReports::new(broker_errors, time);
    reports.with_first_offsets().make_client(config)
}

/// Sends records with a producer, without waiting. Calls `failed` with the position and the error of each record that failed as soon
/// as it is reported, and `done` once all records are reported.
pub(crate) fn send_to(
    producer: &ProducerClient,
    records: &[Record],
    time: &Time,
    failed: impl Fn(usize, Error) + Send + Sync + 'static,
    done: impl FnOnce() + Send + Sync + 'static,
) {
    let batch = Batch::with_failures(records.len(), failed, done);
    let mut is_full = false;
    for (index, record) in records.iter().enumerate() {
        let slot = Slot::new(&batch, index, None);
        let sent = match is_full {
            true => Err((full(), slot)),
            false => send(producer, record, slot, time),
        };
        if let Err((error, slot)) = sent {
            is_full |= error == full();
            let error = not_published(error, record.topic.as_str(), record.size());
            slot.finish(Some(error));
        }
    }
}

/// Says whether a batch was refused, which may be for another record of it.
const fn is_of_batch(error: &Error) -> bool {
    matches!(
        error,
        Error::TooLargeForTopic { .. } | Error::RefusedByTopic { .. }
    )
}

fn log_no_single_producer(error: &Error) {
    let error: &dyn std::error::Error = error;
    tracing::error!(target: "kser_kafka", error, "creating a producer for single records failed; records that were refused in a batch are not retried one by one");
}

/// Returns the error of a queue of the client that is full.
const fn full() -> KafkaError {
    KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
}

type NotQueued = (KafkaError, Box<Slot>);

fn send(
    producer: &ProducerClient,
    record: &Record,
    mut slot: Box<Slot>,
    time: &Time,
) -> Result<(), NotQueued> {
    let target = DelayTarget::of(record, time);
    if target.is_some() || delay::is_probe(record) {
        // The brokers stamp records of delay topics.
        slot.measure_from(time.now());
    }
    let topic = target
        .as_ref()
        .map_or(record.topic.as_str(), |target| &target.topic);
    let mut message: BaseRecord<'_, [u8], [u8], Box<Slot>> =
        BaseRecord::with_opaque_to(topic, slot);
    message.key = record.key.as_deref();
    message.payload = record.payload.as_deref();
    message.headers = headers(record, target.as_ref());
    producer
        .send(message)
        .map_err(|(error, message)| (error, message.delivery_opaque))
}

fn headers(record: &Record, target: Option<&DelayTarget>) -> Option<OwnedHeaders> {
    let wait = target.map(DelayTarget::header);
    if record.headers.is_empty() && wait.is_none() {
        return None;
    }
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len() + 1);
    for (key, value) in &record.headers {
        let value: Option<&Bytes> = value.as_ref();
        let value = value.map(|value| &value[..]);
        headers = headers.insert(Header { key, value });
    }
    if let Some((key, value)) = &wait {
        headers = headers.insert(Header {
            key,
            value: Some(value.as_str()),
        });
    }
    Some(headers)
}

/// Returns the size of a record in flight, in bytes; at most the whole limit.
fn cost(record: &Record) -> u32 {
    let cost = u32::try_from(record.size() + OVERHEAD);
    cost.map_or(ON_THE_WAY, |cost| cost.min(ON_THE_WAY))
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
