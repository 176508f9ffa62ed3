mod members;
mod recent;
mod topics;

use std::collections::BTreeMap;
use std::task::Waker;

use kser_core::{Cancellation, Record, Timestamp, Topic};
use slab::Slab;

use self::recent::Recent;
use super::deferred::Deferred;
use super::entry::Entry;
use super::group::Group;
use super::in_flight::TicketParts;

/// The state that the lock of the broker guards.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The places of the topics in `streams`.
    pub(super) names: BTreeMap<Topic, usize>,
    pub(super) streams: Vec<Stream>,
    pub(super) groups: Slab<Group>,
    pub(super) members: Slab<Member>,
    serial: u64,
}

/// A topic.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) topic: Topic,
    /// Whether records wait for a group that joins later.
    pub(super) kept: bool,
    /// Whether `ensure_topics` has set `kept`.
    pub(super) declared: bool,
    pub(super) offset: i64,
    pub(super) named: BTreeMap<String, usize>,
    /// The groups that get each record: with members, of an observer, and without members yet.
    pub(super) readers: Vec<usize>,
    /// The latest records, where they are not kept otherwise.
    recent: Recent,
}

/// A member of groups, or an observer.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance: Option<String>,
    pub(super) groups: Vec<usize>,
    /// The number of its deliveries.
    pub(super) held: usize,
    /// Set while it waits for a record.
    pub(super) waker: Option<Waker>,
    /// Set while it waits until its deliveries are settled or released.
    pub(super) closing: Option<Waker>,
    /// Whether another member of the same instance has taken its place.
    pub(super) superseded: bool,
    pub(super) revoked: Cancellation,
}

impl State {
    pub(super) fn publish(
        &mut self,
        records: Vec<Record>,
        now: Timestamp,
        deferred: &mut Deferred,
    ) {
        let mut last: Option<usize> = None;
        for record in records {
            let number = match last {
                Some(last) if self.streams[last].topic == record.topic => last,
                _ => {
                    if let Some(last) = last {
                        self.wake_readers(last, deferred);
                    }
                    self.stream(&record.topic)
                }
            };
            last = Some(number);
            self.publish_one(number, record, now);
        }
        if let Some(last) = last {
            self.wake_readers(last, deferred);
        }
    }

    fn publish_one(&mut self, number: usize, record: Record, now: Timestamp) {
        self.ensure_reader(number);
        let stream = &mut self.streams[number];
        let due = record.not_before.filter(|due| *due > now);
        let size = record.size();
        let entry = Entry::new(record, stream.offset, now);
        stream.offset += 1;
        if !stream.kept {
            stream.recent.push(entry.clone(), size);
        }
        let Some((last, others)) = stream.readers.split_last() else {
            return;
        };
        for reader in others {
            if let Some(group) = self.groups.get_mut(*reader) {
                group.publish(entry.clone(), due);
            }
        }
        if let Some(group) = self.groups.get_mut(*last) {
            group.publish(entry, due);
        }
    }

    /// Acknowledges a delivery and publishes its outputs. Returns its record, to be dropped without the lock; `None`, and
    /// publishes nothing, when it was reassigned.
    pub(super) fn settle(
        &mut self,
        ticket: TicketParts,
        outputs: Vec<Record>,
        now: Timestamp,
        deferred: &mut Deferred,
    ) -> Option<Entry> {
        let group = self.groups.get_mut(ticket.group);
        let Some((member, entry)) = group.and_then(|group| group.settle(ticket)) else {
            deferred.unwanted.extend(outputs);
            return None;
        };
        self.let_go(member, deferred);
        if entry.lane().is_some() {
            self.wake_one(ticket.group, deferred);
        }
        self.publish(outputs, now, deferred);
        Some(entry)
    }

    /// Takes a released delivery back, unless it was reassigned.
    pub(super) fn release(
        &mut self,
        ticket: TicketParts,
        not_before: Option<Timestamp>,
        failed: u32,
        deferred: &mut Deferred,
    ) {
        let group = self.groups.get_mut(ticket.group);
        if let Some(member) = group.and_then(|group| group.release(ticket, not_before, failed)) {
            self.let_go(member, deferred);
            self.wake_one(ticket.group, deferred);
        }
    }

    /// Delivers the next record of a group to a member, and returns the result of `show`.
    pub(super) fn take<T>(
        &mut self,
        number: usize,
        member: usize,
        show: impl FnOnce(&Topic, &Entry, u128) -> T,
    ) -> Option<T> {
        let group = self.groups.get_mut(number)?;
        let serial = self.serial + 1;
        let taken = group.take(serial, member, |topic, entry, slot| {
            let ticket = TicketParts {
                group: number,
                slot,
                serial,
            };
            show(topic, entry, ticket.pack())
        })?;
        self.serial = serial;
        if let Some(member) = self.members.get_mut(member) {
            member.held += 1;
        }
        Some(taken)
    }

    /// Wakes a member that waits, if the group has a record for it. A member that takes a record wakes the next.
    pub(super) fn wake_one(&mut self, number: usize, deferred: &mut Deferred) {
        let Some(group) = self.groups.get_mut(number) else {
            return;
        };
        while !group.idle.is_empty() && group.wants_a_member() {
            let Some(idle) = group.idle.pop_front() else {
                return;
            };
            let member = self.members.get_mut(idle.member);
            if let Some(waker) = member.and_then(|member| member.waker.take()) {
                deferred.wakers.push(waker);
                return;
            }
        }
    }

    fn wake_readers(&mut self, number: usize, deferred: &mut Deferred) {
        for place in 0..self.streams[number].readers.len() {
            let reader = self.streams[number].readers[place];
            self.wake_one(reader, deferred);
        }
    }

    /// Counts one delivery less for a member.
    fn let_go(&mut self, member: usize, deferred: &mut Deferred) {
        if let Some(member) = self.members.get_mut(member) {
            member.held -= 1;
            if member.held == 0 {
                deferred.wakers.extend(member.closing.take());
            }
        }
    }
}
