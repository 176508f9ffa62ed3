//! One who reads parts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kser_core::{
    Delivery, Error, Health, Interest, Leave, Origin, Record, Room, Settle, Subscription, Ticket,
    Timestamp,
};

use crate::group::Group;
use crate::part::Part;
use crate::transport::Broker;

/// How often a member asks.
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Member {
    inside: Arc<Inside>,
    left: bool,
}

/// What its tickets need.
#[derive(Debug)]
struct Inside {
    broker: Arc<Mutex<Broker>>,
    group: String,
    number: u64,
    observes: bool,
}

impl Member {
    pub(crate) fn join(broker: Arc<Mutex<Broker>>, interest: Interest) -> Self {
        let mut state = broker.lock().unwrap();
        let number = state.number();
        let topics = interest.topics.into_iter().map(|topic| {
            let count = state.logs.get(&topic).map_or(1, Vec::len);
            (topic, count)
        });
        let topics: Vec<_> = topics.collect();
        let observes = interest.group.is_none();
        let group = interest
            .group
            .unwrap_or_else(|| format!("observer {number}"));
        state.tick();
        let mut joined = state.groups.remove(&group).unwrap_or_default();
        joined.join(number, topics);
        if observes {
            for ((topic, index), part) in &mut joined.parts {
                part.skip(state.logs[topic][*index].len());
            }
        }
        state.groups.insert(group.clone(), joined);
        drop(state);
        let inside = Inside {
            broker,
            group,
            number,
            observes,
        };
        Self {
            inside: Arc::new(inside),
            left: false,
        }
    }

    fn take(&self, room: Room) -> Vec<Delivery> {
        let mut broker = self.inside.broker.lock().unwrap();
        broker.tick();
        let broker = &mut *broker;
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let group = broker.groups.get_mut(&self.inside.group).unwrap();
        let ours = |part: &Part| part.owner == Some(self.inside.number);
        for ((topic, index), part) in group.parts.iter_mut().filter(|(_, part)| ours(part)) {
            let log = &broker.logs[topic][*index];
            while taken.len() < room.records && bytes < room.bytes {
                broker.count += 1;
                let ticket = broker.count;
                let Some(offset) = part.take(log, ticket, Broker::now()) else {
                    break;
                };
                let record = log[offset].clone();
                bytes += record.size();
                taken.push(self.deliver(record, (*index, offset), ticket, part));
            }
        }
        taken
    }

    fn deliver(
        &self,
        record: Record,
        (index, offset): (usize, usize),
        ticket: u64,
        part: &Part,
    ) -> Delivery {
        let origin = Origin {
            partition: i32::try_from(index).unwrap(),
            offset: i64::try_from(offset).unwrap(),
        };
        let settle: Arc<dyn Settle> = Arc::<Inside>::clone(&self.inside);
        let ticket = Ticket::new(ticket.into(), settle);
        Delivery::revocable(record, origin, ticket, part.revoked.clone())
            .with_crash_count(part.unreported(offset))
            .with_failed(part.failed(offset))
    }
}

#[async_trait]
impl Subscription for Member {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        loop {
            let taken = self.take(room);
            if !taken.is_empty() {
                return Ok(taken);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn leaver(&self) -> Option<Arc<dyn Leave>> {
        None
    }

    async fn close(mut self: Box<Self>) -> Result<(), Error> {
        let number = self.inside.number;
        let holds = |part: &Part| part.owner == Some(number) && part.holds_any();
        let group = &self.inside;
        while group.with(|group| group.parts.values().any(holds)) {
            tokio::time::sleep(POLL).await;
        }
        group.with(|group| group.leave(number));
        self.left = true;
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if !self.left {
            let number = self.inside.number;
            self.inside.with(|group| group.fall_silent(number));
        }
    }
}

impl Inside {
    fn with<T>(&self, f: impl FnOnce(&mut Group) -> T) -> T {
        let mut broker = self.broker.lock().unwrap();
        broker.tick();
        f(broker.groups.get_mut(&self.group).unwrap())
    }

    /// Does something with what a ticket is for, if it is still ours.
    fn with_held<T>(&self, ticket: u128, f: impl FnOnce(&mut Part, usize) -> T) -> Option<T> {
        self.with(|group| {
            let alive = group.is_alive(self.number);
            let ticket = u64::try_from(ticket).unwrap();
            let mut parts = group.parts.values_mut().filter(|_| alive);
            let (offset, part) = parts.find_map(|part| Some((part.find(ticket)?, part)))?;
            Some(f(part, offset))
        })
    }
}

#[async_trait]
impl Settle for Inside {
    async fn settle(&self, ticket: u128, outputs: &[Record]) -> Result<(), Error> {
        if !self.observes {
            self.with_held(ticket, |_, _| ()).ok_or(Error::Lost)?;
        }
        {
            let mut broker = self.broker.lock().unwrap();
            let mut outputs = outputs.iter().cloned();
            outputs.try_for_each(|output| broker.publish(output))?;
        }
        // Between the outputs and the mark is a gap, in which everything may happen.
        tokio::time::sleep(POLL).await;
        let marked = self.with_held(ticket, Part::settle);
        match marked.is_some() || self.observes {
            true => Ok(()),
            false => Err(Error::Lost),
        }
    }

    async fn begin(&self, ticket: u128) -> Result<(), Error> {
        self.with_held(ticket, Part::begin).ok_or(Error::Lost)
    }

    fn release(&self, ticket: u128, not_before: Option<Timestamp>, failed: u32) {
        let _ = self.with_held(ticket, |part, offset| {
            part.release(offset, not_before, failed);
        });
    }
}
