mod age_index;
mod broker;
mod chunked_queue;
mod deferred;
mod entry;
mod group;
mod in_flight;
mod inspect;
mod lanes;
mod receiving;
mod state;
mod subscription;

use std::sync::Arc;

use async_trait::async_trait;
use kser_core::{
    Clock, Description, Error, Inspect, Interest, NotPublished, Record, Settling, Subscription,
    Topic, TopicSpec, Transport,
};

use self::broker::Broker;
use self::inspect::MemoryInspect;
use self::subscription::MemorySubscription;
use crate::MemoryClock;

/// Carries records within this process. Clones share them.
///
/// A settle publishes its outputs and acknowledges its delivery together. Each group gets the records of a key one at a
/// time: the next when the one before is settled.
///
/// - **Topics** exist from their first use on, with one partition, 0.
/// - **The first group** of a topic gets all records that were published before it joined; a later group gets those that
///   are published from then on.
/// - **Topics for observers only** ([`TopicSpec::observed`], such as the events) have their last 1,000 records, of at most
///   4 MiB, for observers that ask for earlier records ([`Interest::since`]); other topics have none for them. They
///   remove a group with its last member. All other topics keep records until they are settled, as long as the process
///   lives.
/// - **A member of the same group and instance** takes the place of the one before it: the deliveries of the old member go
///   to others and count as crashes, and it receives [`Error::Superseded`].
/// - **Health** counts the records that wait for a member, delayed records too, and not those that are delivered.
///
/// The transport needs no runtime, except that `receive` needs tokio's time when records are delayed. Its clock is
/// [`MemoryClock`].
#[derive(Debug, Clone)]
pub struct MemoryTransport {
    broker: Arc<Broker>,
}

impl MemoryTransport {
    /// Makes a transport that shares no topics with others, and takes records of up to [`Record::LARGEST`] bytes, as on
    /// Kafka.
    #[must_use]
    pub fn new() -> Self {
        Self::with_largest_record(Record::LARGEST)
    }

    /// Makes a transport that refuses larger records than this, in bytes as [`Record::size`] counts them.
    #[must_use]
    pub fn with_largest_record(bytes: usize) -> Self {
        Self {
            broker: Arc::new(Broker::new(bytes)),
        }
    }

    /// Returns the clock that delays go by.
    #[must_use]
    pub const fn clock(&self) -> MemoryClock {
        MemoryClock
    }
}

impl Default for MemoryTransport {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn publish(&self, mut records: Vec<Record>) -> Result<(), NotPublished> {
        let failed = refuse_large(&self.broker, &mut records);
        let now = MemoryClock.now();
        self.broker
            .with(|state, deferred| state.publish(records, now, deferred));
        match failed.is_empty() {
            true => Ok(()),
            false => Err(NotPublished::new(failed)),
        }
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        Ok(Box::new(MemorySubscription::join(&self.broker, interest)))
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.broker.with(|state, deferred| {
            for spec in topics {
                state.declare(spec, deferred);
            }
        });
        Ok(())
    }

    async fn describe(&self, topics: &[Topic]) -> Result<Description, Error> {
        let description = Description::new(Settling::Together, self.broker.largest_record);
        let description = description.forgetting().taking_hand_ins();
        let mut description = description.with_creates_topics(true);
        self.broker.with(|state, _| {
            let unread = topics.iter().filter(|topic| state.is_unread(topic));
            description.unread = Some(unread.cloned().collect());
        });
        Ok(description)
    }

    fn inspect(&self) -> Option<Arc<dyn Inspect>> {
        Some(Arc::new(MemoryInspect(Arc::clone(&self.broker))))
    }
}

/// Removes the records that are too large, and returns their positions with the errors.
fn refuse_large(broker: &Broker, records: &mut Vec<Record>) -> Vec<(usize, Error)> {
    let indexed = records.iter().enumerate();
    let failed = indexed.filter_map(|(index, record)| Some((index, broker.fits(record).err()?)));
    let failed: Vec<(usize, Error)> = failed.collect();
    if !failed.is_empty() {
        records.retain(|record| broker.fits(record).is_ok());
    }
    failed
}
