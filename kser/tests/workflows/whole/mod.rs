//! A transport with one topic that hands out whole partitions, several records of one key at a time, as Kafka does.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kser::Error;
use kser::backend::{
    Delivery, Description, Interest, Leave, NotPublished, Origin, Record, Room, Settle, Settling,
    Subscription, Ticket, TopicSpec, Transport,
};
use kser::client::Clock;
use kser::consumer::Health;
use kser::memory::MemoryClock;
use kser::message::Topic;
use kser::run::Timestamp;
use tokio::sync::Notify;

#[derive(Debug, Clone, Default)]
pub(crate) struct Whole(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    log: Mutex<Log>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Log {
    next: i64,
    waiting: BTreeMap<i64, Waiting>,
    held: BTreeMap<i64, Waiting>,
    other: Vec<Record>,
}

#[derive(Debug, Clone)]
struct Waiting {
    record: Record,
    due: Timestamp,
    crash_count: u32,
}

fn now() -> Timestamp {
    MemoryClock::new().now()
}

impl Whole {
    /// Publishes a record that may have killed so many processes.
    pub(crate) fn put(&self, record: Record, crash_count: u32) {
        let mut log = self.0.log.lock().unwrap();
        let offset = log.next;
        log.next += 1;
        let due = record.not_before.unwrap_or_default();
        let waiting = Waiting {
            record,
            due,
            crash_count,
        };
        log.waiting.insert(offset, waiting);
        self.0.changed.notify_one();
    }

    /// What was published to other topics.
    pub(crate) fn others(&self) -> Vec<Record> {
        self.0.log.lock().unwrap().other.clone()
    }

    fn publish_all(&self, records: Vec<Record>) {
        for record in records {
            match record.topic.as_str() {
                "test" => self.put(record, 0),
                _ => self.0.log.lock().unwrap().other.push(record),
            }
        }
    }

    fn take(&self, room: Room) -> Result<Vec<Delivery>, Timestamp> {
        let now = now();
        let mut log = self.0.log.lock().unwrap();
        let mut blocked = BTreeSet::new();
        let (mut taken, mut next) = (Vec::new(), now + Duration::from_secs(3600));
        for (offset, waiting) in &log.waiting {
            let key = waiting.record.key.clone();
            let behind = key.as_ref().is_some_and(|key| blocked.contains(key));
            if behind {
                continue;
            }
            if waiting.due > now {
                next = next.min(waiting.due);
                blocked.extend(key);
            } else if taken.len() < room.records {
                taken.push(*offset);
            }
        }
        if taken.is_empty() {
            return Err(next);
        }
        let deliveries = taken.into_iter().map(|offset| {
            let waiting = log.waiting.remove(&offset).unwrap();
            log.held.insert(offset, waiting.clone());
            let settle: Arc<dyn Settle> = Arc::new(self.clone());
            let ticket = Ticket::new(u128::try_from(offset).unwrap(), settle);
            let partition = 0;
            Delivery::new(waiting.record, Origin { partition, offset }, ticket)
                .with_crash_count(waiting.crash_count)
        });
        Ok(deliveries.collect())
    }
}

#[async_trait::async_trait]
impl Transport for Whole {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        self.publish_all(records);
        Ok(())
    }

    async fn subscribe(&self, _: Interest) -> Result<Box<dyn Subscription>, Error> {
        Ok(Box::new(self.clone()))
    }

    async fn ensure_topics(&self, _: &[TopicSpec]) -> Result<(), Error> {
        Ok(())
    }

    async fn describe(&self, _: &[Topic]) -> Result<Description, Error> {
        Ok(Description::new(Settling::InOrder, 1_000_000))
    }
}

#[async_trait::async_trait]
impl Subscription for Whole {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        loop {
            let next = match self.take(room) {
                Ok(taken) => return Ok(taken),
                Err(next) => next,
            };
            tokio::select! {
                () = self.0.changed.notified() => {}
                () = tokio::time::sleep(next.since(now())) => {}
            }
        }
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn leaver(&self) -> Option<Arc<dyn Leave>> {
        None
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait::async_trait]
impl Settle for Whole {
    async fn settle(&self, ticket: u128, outputs: &[Record]) -> Result<(), Error> {
        self.publish_all(outputs.to_vec());
        let offset = i64::try_from(ticket).unwrap();
        self.0.log.lock().unwrap().held.remove(&offset);
        Ok(())
    }

    async fn begin(&self, _: u128) -> Result<(), Error> {
        Ok(())
    }

    fn release(&self, ticket: u128, not_before: Option<Timestamp>, _: u32) {
        let offset = i64::try_from(ticket).unwrap();
        let mut log = self.0.log.lock().unwrap();
        let mut waiting = log.held.remove(&offset).unwrap();
        waiting.due = not_before.unwrap_or_default();
        log.waiting.insert(offset, waiting);
        self.0.changed.notify_one();
    }
}
