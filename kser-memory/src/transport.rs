use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::{
    Cancellation, Delivery, Description, Error, Health, Interest, NotPublished, Origin, Record,
    Room, Settle, Settling, Subscription, Ticket, Timestamp, Topic, TopicSpec, Transport,
};
use tokio::sync::Notify;

use crate::MemoryClock;
use crate::broker::Broker;
use crate::group::{Group, Member};

/// What Kafka takes as one record batch unless a topic says otherwise (`max.message.bytes`), less its own bytes.
const LARGEST_RECORD: usize = 1_048_576;

/// Carries records within this process. Clones share them.
///
/// What is published by settling and the settled delivery change together. Topics exist from their first use on. Records
/// of a topic that no group has subscribed to wait for the first that does, unless the topic was made for observers
/// only ([`TopicSpec::observed`]).
#[derive(Debug, Clone)]
pub struct MemoryTransport {
    broker: Arc<Broker>,
}

impl MemoryTransport {
    /// Makes a transport of its own, which takes records of up to 1,048,576 bytes as Kafka does.
    #[must_use]
    pub fn new() -> Self {
        Self::with_largest_record(LARGEST_RECORD)
    }

    /// Makes a transport that refuses larger records than this, in bytes as [`Record::size`] counts them.
    #[must_use]
    pub fn with_largest_record(bytes: usize) -> Self {
        Self {
            broker: Arc::new(Broker::new(MemoryClock::new(), bytes)),
        }
    }

    /// Returns the clock that delays go by.
    #[must_use]
    pub fn clock(&self) -> MemoryClock {
        self.broker.clock
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
        let limit = self.broker.largest_record;
        let mut failed = Vec::new();
        if records.iter().any(|record| record.size() > limit) {
            let mut index = 0;
            records.retain(|record| {
                let size = record.size();
                if size > limit {
                    failed.push((index, too_large(size, limit)));
                }
                index += 1;
                size <= limit
            });
        }
        let now = self.broker.now();
        self.broker.state().publish(records, now);
        match failed.is_empty() {
            true => Ok(()),
            false => Err(NotPublished::new(failed)),
        }
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        let now = self.broker.now();
        let mut state = self.broker.state();
        let member = Member {
            number: state.next_member(),
            instance: interest.instance,
            wake: Arc::new(Notify::new()),
            revoked: Cancellation::default(),
        };
        let group = interest.group.as_deref();
        let shares = interest.topics.into_iter().map(|topic| {
            let number = state.join(&topic, group, member.clone(), now);
            Arc::new(Share {
                broker: Arc::clone(&self.broker),
                topic,
                group: number,
            })
        });
        Ok(Box::new(MemorySubscription {
            shares: shares.collect(),
            member,
            observes: interest.group.is_none(),
            left: false,
        }))
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        let mut state = self.broker.state();
        for spec in topics {
            state.keep(&spec.topic, spec.kept);
        }
        Ok(())
    }

    async fn describe(&self, _: &[Topic]) -> Result<Description, Error> {
        Ok(Description::new(Settling::Together, self.broker.largest_record).forgetting())
    }
}

const fn too_large(size: usize, limit: usize) -> Error {
    Error::TooLarge {
        what: "bytes of the record",
        size,
        limit,
    }
}

#[derive(Debug)]
struct MemorySubscription {
    shares: Vec<Arc<Share>>,
    member: Member,
    observes: bool,
    left: bool,
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        let wake = Arc::clone(&self.member.wake);
        loop {
            let (deliveries, wait) = self.take(room)?;
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            let woken = wake.notified();
            match wait {
                Some(wait) => {
                    let _ = tokio::time::timeout(wait, woken).await;
                }
                None => woken.await,
            }
        }
    }

    fn health(&self) -> Health {
        let mut health = Health::default();
        let (mut lag, mut oldest) = (0, None);
        for share in &self.shares {
            health.assigned.push((share.topic.clone(), 0));
            share.with(|group, now| {
                lag += group.lag();
                let waited = group.oldest().map(|since| now.since(since));
                oldest = oldest.into_iter().chain(waited).max();
            });
        }
        health.lag = Some(lag);
        health.oldest_waiting = oldest;
        health
    }

    async fn close(mut self: Box<Self>) -> Result<(), Error> {
        let closing = Closing::begin(&self.shares);
        let member = self.member.number;
        let holds = |share: &Arc<Share>| share.with(|group, _| group.holds(member));
        while self
            .shares
            .iter()
            .any(|share| holds(share).unwrap_or_default())
        {
            self.member.wake.notified().await;
        }
        drop(closing);
        self.leave(true);
        Ok(())
    }
}

impl MemorySubscription {
    /// Takes what is there, or says how long to wait for what is not due.
    fn take(&mut self, room: Room) -> Result<(Vec<Delivery>, Option<Duration>), Error> {
        let now = match self.shares.first() {
            Some(share) => share.broker.now(),
            None => return Ok((Vec::new(), None)),
        };
        let mut deliveries = Vec::new();
        let (mut bytes, mut wait) = (0_usize, None);
        for share in &self.shares {
            let mut state = share.broker.state();
            let Some(group) = state.group(share.group) else {
                continue;
            };
            if !group.is_member(self.member.number) {
                return Err(superseded(&self.member));
            }
            group.wake_due(now);
            while deliveries.len() < room.records && bytes < room.bytes {
                let Some((ticket, queued)) = group.take(self.member.number) else {
                    break;
                };
                bytes = bytes.saturating_add(queued.record.size());
                let settle: Arc<dyn Settle> = Arc::<Share>::clone(share);
                let ticket = Ticket::new(u128::from(ticket), settle);
                let origin = Origin {
                    partition: 0,
                    offset: queued.offset,
                };
                deliveries.push(
                    Delivery::new(queued.record, origin, ticket)
                        .with_unreported(queued.unreported)
                        .with_revoked(self.member.revoked.clone()),
                );
            }
            let due = group.next_due().map(|due| due.since(now));
            wait = wait.into_iter().chain(due).min();
        }
        // No topic is always the first.
        if self.shares.len() > 1 {
            self.shares.rotate_left(1);
        }
        Ok((deliveries, wait))
    }

    fn leave(&mut self, goodbye: bool) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        for share in &self.shares {
            let now = share.broker.now();
            let mut state = share.broker.state();
            if self.observes {
                state.forget_observer(&share.topic, share.group);
            } else if let Some(group) = state.group(share.group) {
                group.leave(self.member.number, goodbye, now);
            }
        }
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        self.leave(false);
    }
}

fn superseded(member: &Member) -> Error {
    match &member.instance {
        Some(instance) => Error::Superseded {
            instance: instance.clone(),
        },
        None => Error::Closed,
    }
}

/// Asks the groups to tell when something is settled, for as long as it lives.
struct Closing<'a>(&'a [Arc<Share>]);

impl<'a> Closing<'a> {
    fn begin(shares: &'a [Arc<Share>]) -> Self {
        for share in shares {
            share.with(|group, _| group.set_closing(true));
        }
        Self(shares)
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        for share in self.0 {
            share.with(|group, _| group.set_closing(false));
        }
    }
}

/// What a subscription has of one topic.
#[derive(Debug)]
struct Share {
    broker: Arc<Broker>,
    topic: Topic,
    group: usize,
}

impl Share {
    fn with<T>(&self, f: impl FnOnce(&mut Group, Timestamp) -> T) -> Option<T> {
        let now = self.broker.now();
        self.broker
            .state()
            .group(self.group)
            .map(|group| f(group, now))
    }
}

#[async_trait]
impl Settle for Share {
    async fn settle(&self, ticket: u128, outputs: Vec<Record>) -> Result<(), Error> {
        let limit = self.broker.largest_record;
        if let Some(large) = outputs.iter().find(|record| record.size() > limit) {
            return Err(too_large(large.size(), limit));
        }
        let now = self.broker.now();
        let ticket = u64::try_from(ticket).unwrap_or(u64::MAX);
        let mut state = self.broker.state();
        let settled = state
            .group(self.group)
            .is_some_and(|group| group.settle(ticket));
        if !settled {
            return Err(Error::Lost);
        }
        state.publish(outputs, now);
        Ok(())
    }

    async fn begin(&self, ticket: u128) -> Result<(), Error> {
        let ticket = u64::try_from(ticket).unwrap_or(u64::MAX);
        match self.with(|group, _| group.begin(ticket)) {
            Some(true) => Ok(()),
            _ => Err(Error::Lost),
        }
    }

    fn release(&self, ticket: u128, not_before: Option<Timestamp>) {
        let ticket = u64::try_from(ticket).unwrap_or(u64::MAX);
        self.with(|group, now| group.release(ticket, not_before, now));
    }
}
