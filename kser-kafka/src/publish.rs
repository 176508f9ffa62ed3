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
use tokio::sync::{Semaphore, oneshot};

use crate::alone::Alone;
use crate::aside::Aside;
use crate::delay;
use crate::error::{failed, not_published};
use crate::heard::Heard;
use crate::report::{Batch, Client, Reports, Slot};

/// How many bytes of records may be on their way to the brokers; whoever wants to send more waits.
const ON_THE_WAY: u32 = 64 << 20;

/// How long the brokers are asked about a topic.
const LEARN: Duration = Duration::from_secs(5);

/// What a record costs beside its bytes.
const OVERHEAD: usize = 128;

/// Sends records and waits for the brokers' reports.
pub(crate) struct Publisher {
    config: ClientConfig,
    producer: RwLock<Arc<Client>>,
    room: Arc<Semaphore>,
    heard: Heard,
    pub(crate) alone: Alone,
}

impl Publisher {
    pub(crate) fn new(config: ClientConfig, heard: Heard) -> Result<Self, Error> {
        let room = Arc::new(Semaphore::new(ON_THE_WAY as usize));
        let producer = make(&config, &heard)?;
        Ok(Self {
            config,
            producer: RwLock::new(producer),
            room,
            heard,
            alone: Alone::default(),
        })
    }

    /// Sends records, in order, and waits until each is reported. They are with the client when this is first polled, as
    /// long as there is room on the way.
    pub(crate) async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        let producer = self.producer();
        let all = records.iter().enumerate();
        let failed = self.publish_with(&producer, all, records.len()).await;
        if failed.is_empty() {
            return Ok(());
        }
        self.replace_if_fatal(&producer);
        let failed = self.publish_alone(&records, failed).await;
        match failed.is_empty() {
            true => Ok(()),
            false => Err(NotPublished::new(failed)),
        }
    }

    /// Sends records with a producer, and returns which failed.
    pub(crate) async fn publish_with(
        &self,
        producer: &Client,
        records: impl Iterator<Item = (usize, &Record)> + Send,
        count: usize,
    ) -> Vec<(usize, Error)> {
        let batch = Batch::new(count);
        for (index, record) in records {
            let size = record.size();
            if size > Record::LARGEST {
                batch.report(index, Some(too_large(size)));
                continue;
            }
            if let Err(error) = delay::refuse(record) {
                batch.report(index, Some(error));
                continue;
            }
            let cost = u32::try_from(size + OVERHEAD).unwrap_or(ON_THE_WAY);
            let room = Arc::clone(&self.room).acquire_many_owned(cost).await;
            let slot = Slot::new(&batch, index, room.ok());
            if let Err((error, slot)) = send(producer, record, slot) {
                self.retry(producer, record, error, slot).await;
            }
        }
        batch.all_reported().await;
        batch.failed()
    }

    /// Makes a producer that puts each record in a batch of its own.
    pub(crate) fn make_alone(&self) -> Result<Arc<Client>, Error> {
        let mut config = self.config.clone();
        config.set("batch.num.messages", "1");
        make(&config, &self.heard)
    }

    /// Sends a record without waiting: `done` is told how it ended. For threads that must not wait. A record that is
    /// refused for the size of its batch is sent once more, alone.
    pub(crate) fn send(
        self: &Arc<Self>,
        record: Record,
        done: impl FnOnce(Result<(), Error>) + Send + Sync + 'static,
    ) {
        // No caller looks at it afterwards, as that of `publish` does.
        self.replace_if_fatal(&self.producer());
        let publisher = Arc::clone(self);
        let again = record.clone();
        self.start(&self.producer(), &record, move |sent| match sent {
            Err(error @ Error::TooLargeForTopic { .. }) => {
                publisher.send_alone(again, error, done);
            }
            sent => done(sent),
        });
    }

    /// Hands a record to a producer without waiting.
    pub(crate) fn start(
        &self,
        producer: &Client,
        record: &Record,
        done: impl FnOnce(Result<(), Error>) + Send + Sync + 'static,
    ) {
        let cost = u32::try_from(record.size() + OVERHEAD).unwrap_or(ON_THE_WAY);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(cost) else {
            return done(Err(Error::TimedOut {
                what: "room to send a record",
            }));
        };
        let slot = Slot::new(&Batch::telling(done), 0, Some(room));
        if let Err((error, slot)) = send(producer, record, slot) {
            let error = not_published(error, record.topic.as_str(), record.size());
            slot.finish(Some(error));
        }
    }

    /// Has the producer look at topics that were missing when it asked before.
    pub(crate) async fn learn(&self, topics: impl Iterator<Item = &Topic>) {
        let topics: BTreeSet<_> = topics.cloned().collect();
        let (answer, learned) = oneshot::channel();
        let producer = self.producer();
        let ask = move || {
            for topic in topics {
                // Of a topic that is still missing, publishing says so.
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

    fn producer(&self) -> Arc<Client> {
        let producer = self.producer.read();
        Arc::clone(&producer.unwrap_or_else(PoisonError::into_inner))
    }

    /// The client's own queue is full, although there was room on the way: a moment later it is not.
    async fn retry(
        &self,
        producer: &Client,
        record: &Record,
        mut error: KafkaError,
        mut slot: Box<Slot>,
    ) {
        while error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            match send(producer, record, slot) {
                Ok(()) => return,
                Err(back) => (error, slot) = back,
            }
        }
        let error = not_published(error, record.topic.as_str(), record.size());
        slot.finish(Some(error));
    }

    /// An idempotent producer that has met a fatal error sends nothing more: another takes its place.
    fn replace_if_fatal(&self, used: &Arc<Client>) {
        let Some((code, reason)) = used.client().fatal_error() else {
            return;
        };
        tracing::error!(target: "kser_kafka", %code, "the producer is replaced: {reason}");
        let mut current = self
            .producer
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, used) {
            return;
        }
        match make(&self.config, &self.heard) {
            Ok(fresh) => *current = fresh,
            Err(error) => {
                tracing::error!(target: "kser_kafka", %error, "there is no other producer")
            }
        }
    }
}

fn make(config: &ClientConfig, heard: &Heard) -> Result<Arc<Client>, Error> {
    let made = config.create_with_context(Reports::new(heard.clone()));
    made.map(|made| Arc::new(Aside::new(made)))
        .map_err(|error| failed("making a producer", None, error))
}

type Refused = (KafkaError, Box<Slot>);

fn send(producer: &Client, record: &Record, slot: Box<Slot>) -> Result<(), Refused> {
    let topic = delay::topic(record);
    let mut message: BaseRecord<'_, [u8], [u8], Box<Slot>> =
        BaseRecord::with_opaque_to(topic.as_ref(), slot);
    message.key = record.key.as_deref();
    message.payload = record.payload.as_deref();
    message.headers = headers(record);
    producer
        .send(message)
        .map_err(|(error, message)| (error, message.delivery_opaque))
}

fn headers(record: &Record) -> Option<OwnedHeaders> {
    let due = delay::header(record);
    if record.headers.is_empty() && due.is_none() {
        return None;
    }
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len() + 1);
    for (key, value) in &record.headers {
        let value: Option<&Bytes> = value.as_ref();
        let value = value.map(|value| &value[..]);
        headers = headers.insert(Header { key, value });
    }
    if let Some((key, value)) = &due {
        headers = headers.insert(Header {
            key,
            value: Some(value.as_str()),
        });
    }
    Some(headers)
}

const fn too_large(size: usize) -> Error {
    Error::TooLarge {
        what: "bytes of a record",
        size,
        limit: Record::LARGEST,
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_publish_that_is_dropped_gives_its_room_back() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "localhost:1");
        config.set("queue.buffering.max.messages", "1");
        let publisher = Publisher::new(config, Heard::default()).unwrap();
        let record = Record::new(Topic::new("t").unwrap(), None);
        let cost = record.size() + OVERHEAD;
        // The second finds the queue of the client full, and waits.
        tokio::select! {
            biased;
            _ = publisher.publish(vec![record.clone(), record]) => {}
            () = std::future::ready(()) => {}
        }
        let room = publisher.room.available_permits();
        assert_eq!(ON_THE_WAY as usize - room, cost);
    }
}
