use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kser_core::{Clock, Record, Timestamp, Topic};

use crate::MemoryClock;
use crate::group::{Group, Member, arrived};
use crate::queue::Fixed;

/// All topics and groups, behind one lock: what a settle publishes and what it settles change together.
#[derive(Debug)]
pub(crate) struct Broker {
    state: Mutex<State>,
    pub(crate) clock: MemoryClock,
    pub(crate) largest_record: usize,
}

/// What the lock guards.
#[derive(Debug, Default)]
pub(crate) struct State {
    topics: HashMap<Topic, Stream, Fixed>,
    /// By number, so that settling needs no names. An observer's place is empty when it is gone.
    groups: Vec<Option<Group>>,
    members: u64,
}

#[derive(Debug, Default)]
struct Stream {
    groups: BTreeMap<String, usize>,
    observers: Vec<usize>,
    /// Records from before the first group.
    early: Vec<(Record, i64, Timestamp)>,
    /// Nothing waits for groups that come later.
    unkept: bool,
    offset: i64,
}

impl Broker {
    pub(crate) fn new(clock: MemoryClock, largest_record: usize) -> Self {
        Self {
            state: Mutex::default(),
            clock,
            largest_record,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl State {
    pub(crate) fn publish(&mut self, records: impl IntoIterator<Item = Record>, now: Timestamp) {
        for record in records {
            let stream = match self.topics.get_mut(&record.topic) {
                Some(stream) => stream,
                None => self.topics.entry(record.topic.clone()).or_default(),
            };
            let offset = stream.offset;
            stream.offset += 1;
            let groups = stream.groups.values().chain(&stream.observers);
            let mut groups = groups.copied();
            let first = groups.next();
            for number in groups {
                if let Some(group) = self.groups.get_mut(number).and_then(Option::as_mut) {
                    group.publish(arrived(record.clone(), offset, now), now);
                }
            }
            if stream.groups.is_empty() && !stream.unkept {
                stream.early.push((record.clone(), offset, now));
            }
            if let Some(group) = first
                .and_then(|number| self.groups.get_mut(number))
                .and_then(Option::as_mut)
            {
                group.publish(arrived(record, offset, now), now);
            }
        }
    }

    /// Says whether records of a topic wait for groups that come later.
    pub(crate) fn keep(&mut self, topic: &Topic, kept: bool) {
        let known = self.topics.contains_key(topic);
        let stream = self.topics.entry(topic.clone()).or_default();
        if !known {
            stream.unkept = !kept;
        }
    }

    pub(crate) const fn next_member(&mut self) -> u64 {
        self.members += 1;
        self.members
    }

    /// Takes a member in, and returns the number of its group for the topic.
    pub(crate) fn join(
        &mut self,
        topic: &Topic,
        group: Option<&str>,
        member: Member,
        now: Timestamp,
    ) -> usize {
        let stream = self.topics.entry(topic.clone()).or_default();
        let Some(name) = group else {
            let mut observer = Group::for_observer();
            observer.join(member, now);
            let number = match self.groups.iter().position(Option::is_none) {
                Some(free) => {
                    self.groups[free] = Some(observer);
                    free
                }
                None => {
                    self.groups.push(Some(observer));
                    self.groups.len() - 1
                }
            };
            stream.observers.push(number);
            return number;
        };
        let number = match stream.groups.get(name) {
            Some(number) => *number,
            None => {
                self.groups.push(Some(Group::default()));
                let number = self.groups.len() - 1;
                stream.groups.insert(name.to_owned(), number);
                number
            }
        };
        let early = std::mem::take(&mut stream.early);
        if let Some(group) = self.groups.get_mut(number).and_then(Option::as_mut) {
            for (record, offset, since) in early {
                group.publish(arrived(record, offset, since), now);
            }
            group.join(member, now);
        }
        number
    }

    pub(crate) fn group(&mut self, number: usize) -> Option<&mut Group> {
        self.groups.get_mut(number).and_then(Option::as_mut)
    }

    pub(crate) fn forget_observer(&mut self, topic: &Topic, number: usize) {
        if let Some(stream) = self.topics.get_mut(topic) {
            stream.observers.retain(|other| *other != number);
        }
        if let Some(place) = self.groups.get_mut(number) {
            *place = None;
        }
    }
}
