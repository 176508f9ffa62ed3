mod offset_queue;
mod record_state;
mod resumed;
mod room;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use kser_core::{Cancellation, Record, Timestamp, Topic};
use kser_librdkafka::TopicId;

use self::offset_queue::OffsetQueue;
use self::record_state::{ReceivedRecord, RecordState};
use crate::channel::{QueuedRecord, RecordId};
use crate::clock::Time;
use crate::delay::forward_failures::ForwardFailures;
use crate::delay::wait::{Stamp, Wait};
use crate::member::FinalCommit;
use crate::offsets::position::Position;
use crate::progress::PartitionProgress;

/// A partition from its assignment to its revocation, with its records from their arrival to the end of their tickets.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) id: u64,
    /// The topic in Kafka.
    pub(crate) topic: Topic,
    pub(crate) partition: i32,
    /// Set for a delay topic: the topic of its records, and the longest time that a record stays here.
    pub(crate) waits_for: Option<(Topic, Duration)>,
    pub(crate) revoked: Cancellation,
    /// `None` until the committed offset is read. Until then the client does not fetch the partition.
    pub(crate) progress: Option<PartitionProgress>,
    pub(crate) position: Position,
    /// The id of the topic when the partition started. `None` before, and if the brokers have no topic ids.
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) paused: bool,
    held: OffsetQueue<ReceivedRecord>,
    /// The offsets of records that may not start before the next commit.
    pending: BTreeSet<i64>,
    /// Keys with a released record that waits. Later records of the key wait behind it.
    keys: BTreeMap<Bytes, BTreeMap<i64, Timestamp>>,
    /// The records in progress since before a rebalance, which will arrive again, and whether they are done.
    pub(crate) resumed: BTreeMap<i64, bool>,
    /// The final commit before that rebalance.
    pub(crate) final_commit: Option<FinalCommit>,
    /// Delayed records whose age is unknown until the brokers' clock is measured.
    unmeasured: BTreeSet<i64>,
    /// The number of records that wait for their due time, without those of `keys`.
    parked: usize,
    /// The size of the records that cannot be delivered yet, in bytes.
    waiting_bytes: usize,
    /// The part of `waiting_bytes` that the member has added up.
    pub(crate) weighed: usize,
    /// The partition is paused because its records take too much memory.
    pub(crate) is_heavy: bool,
    /// The delayed records that could not be forwarded.
    pub(crate) forward_failures: ForwardFailures,
}

/// The next action for a record that arrived, or whose timer is due.
#[derive(Debug)]
pub(crate) enum Next {
    /// Put the record into the inbox.
    Deliver(QueuedRecord),
    /// Set a timer.
    Wait(Timestamp),
    /// Forward the delayed record: it is due, or has waited in this topic for its time.
    Forward(Record),
    /// Mark the record as done.
    Done,
    /// Do nothing now.
    Nothing,
}

impl Assignment {
    pub(crate) fn new(
        id: u64,
        topic: Topic,
        partition: i32,
        waits_for: Option<(Topic, Duration)>,
    ) -> Self {
        Self {
            id,
            topic,
            partition,
            waits_for,
            revoked: Cancellation::default(),
            progress: None,
            position: Position::default(),
            topic_id: None,
            paused: false,
            held: OffsetQueue::new(),
            pending: BTreeSet::new(),
            keys: BTreeMap::new(),
            resumed: BTreeMap::new(),
            final_commit: None,
            unmeasured: BTreeSet::new(),
            parked: 0,
            waiting_bytes: 0,
            weighed: 0,
            is_heavy: false,
            forward_failures: ForwardFailures::default(),
        }
    }

    /// Starts the partition with its progress.
    ///
    /// Records that have arrived already are noted at once and in order, since offsets that are skipped count as done.
    pub(crate) fn begin(&mut self, mut progress: PartitionProgress) {
        for offset in self
            .held
            .iter()
            .map(|(offset, _)| offset)
            .collect::<Vec<_>>()
        {
            match (progress.receive(offset), self.held.get_mut(offset)) {
                (None, _) => self.forget_unreceived(offset),
                (crash_count, Some(held)) => held.crash_count = crash_count,
                _ => {}
            }
        }
        self.progress = Some(progress);
    }

    /// Notes the leader epoch of the next record, unless that record is ignored. Returns whether the log has another record in
    /// the place of a record that was done.
    pub(crate) fn note_epoch(&mut self, offset: i64, epoch: i32) -> bool {
        let is_taken = self.position.rewind.is_none()
            && self.position.next().is_none_or(|next| next <= offset);
        let progress = self.progress.as_mut().filter(|_| is_taken);
        progress.is_some_and(|progress| progress.note_epoch(offset, epoch))
    }

    /// Takes a record that arrived from the broker.
    pub(crate) fn receive(
        &mut self,
        offset: i64,
        stamp: Stamp,
        mut record: Record,
        time: &Time,
        now: Timestamp,
    ) -> Next {
        let wait = self.waits_for.clone().map(|(topic, length)| {
            record.topic = topic;
            let header = crate::delay::take_wait_header(&mut record.headers, time);
            let wait = Wait::new(header, stamp, length, time);
            record.not_before = Some(wait.plan.due);
            if !wait.is_measured {
                self.unmeasured.insert(offset);
            }
            wait
        });
        let held = ReceivedRecord {
            record,
            at: stamp.at,
            wait,
            crash_count: None,
            state: RecordState::Pending,
        };
        self.waiting_bytes += held.record.size();
        self.held.insert(offset, held);
        self.admit(offset, now)
    }

    /// Takes the next record that could not be delivered when it arrived and now can.
    pub(crate) fn next_pending(&mut self, now: Timestamp) -> Option<(i64, Next)> {
        let progress = self.progress.as_ref()?;
        let offset = *self.pending.first()?;
        let held = self.held.get(offset);
        let is_suspect = held.is_some_and(|held| held.crash_count >= Some(2));
        if self.waits_for.is_none() && !is_suspect && !progress.may_begin(offset) {
            return None;
        }
        self.pending.pop_first();
        Some((offset, self.next_step(offset, now)))
    }

    fn admit(&mut self, offset: i64, now: Timestamp) -> Next {
        let Some(progress) = &mut self.progress else {
            self.pending.insert(offset);
            return Next::Nothing;
        };
        let Some(crash_count) = progress.receive(offset) else {
            self.forget(offset);
            return Next::Nothing;
        };
        if let Some(held) = self.held.get_mut(offset) {
            held.crash_count = Some(crash_count);
        }
        self.next_step(offset, now)
    }

    fn next_step(&mut self, offset: i64, now: Timestamp) -> Next {
        if let Some(next) = self.resume_record(offset) {
            return next;
        }
        match self.waits_for {
            Some(_) => self.forward_or_wait(offset, now),
            None => self.deliver_if_allowed(offset),
        }
    }

    /// Delivers a record if a commit allows it to start and no earlier record of its key waits.
    fn deliver_if_allowed(&mut self, offset: i64) -> Next {
        let (Some(progress), Some(held)) = (&self.progress, self.held.get_mut(offset)) else {
            return Next::Nothing;
        };
        let is_next = self.pending.first().is_none_or(|first| offset < *first);
        // A suspected poison message is delivered, and waits for its commit before it runs.
        let is_named = held.crash_count >= Some(2) || progress.may_begin(offset);
        if !is_next || !is_named {
            self.pending.insert(offset);
            return Next::Nothing;
        }
        if let Some(key) = &held.record.key
            && let Some(behind) = self.keys.get_mut(key)
        {
            held.set_state(RecordState::Parked, &mut self.waiting_bytes);
            behind.insert(offset, Timestamp::default());
            return Next::Nothing;
        }
        Next::Deliver(self.deliver(offset))
    }

    fn deliver(&mut self, offset: i64) -> QueuedRecord {
        let held = self.held.get_mut(offset).expect("the caller has seen it");
        held.set_state(RecordState::Delivered, &mut self.waiting_bytes);
        QueuedRecord {
            id: RecordId {
                assignment: self.id,
                offset,
            },
            record: held.record.clone(),
            partition: self.partition,
            published: Some(held.at).filter(|at| *at > Timestamp::default()),
            crash_count: held.crash_count.unwrap_or_default(),
            failed: self
                .progress
                .as_ref()
                .map_or(0, |progress| progress.n_failed(offset)),
            revoked: self.revoked.clone(),
        }
    }

    /// Says whether a record waits for a commit, or soon will.
    pub(crate) fn wants_commit(&self) -> bool {
        self.progress
            .as_ref()
            .is_some_and(PartitionProgress::is_urgent)
    }

    pub(crate) fn mark_done(&mut self, offset: i64) {
        if self.forget(offset)
            && let Some(progress) = &mut self.progress
        {
            self.forward_failures.forget(offset);
            progress.mark_done(offset);
        } else if let Some(is_done) = self.resumed.get_mut(&offset) {
            *is_done = true;
        }
    }

    /// Marks a record as done that the confirmed commit of a transaction says to be done.
    pub(crate) fn mark_committed(&mut self, offset: i64) {
        if self.forget(offset)
            && let Some(progress) = &mut self.progress
        {
            self.forward_failures.forget(offset);
            progress.mark_committed(offset);
        }
    }

    /// Notes that a record was released after `failed` failed attempts.
    pub(crate) fn note_release(&mut self, offset: i64, failed: u32) {
        if let Some(progress) = &mut self.progress {
            progress.release(offset, failed);
        }
    }

    /// Parks a released record until `due`, and returns the time of its timer.
    ///
    /// `later` are the offsets of later records of its key that were in the inbox: they wait behind it.
    pub(crate) fn park_released(
        &mut self,
        offset: i64,
        due: Timestamp,
        later: &[i64],
    ) -> Option<Timestamp> {
        self.resumed.remove(&offset);
        let held = self.held.get_mut(offset)?;
        held.set_state(RecordState::Parked, &mut self.waiting_bytes);
        if let Some(key) = held.record.key.clone() {
            let waiting = self.keys.entry(key).or_default();
            waiting.insert(offset, due);
            for offset in later {
                waiting.insert(*offset, Timestamp::default());
            }
        }
        for offset in later {
            if let Some(held) = self.held.get_mut(*offset) {
                held.set_state(RecordState::Parked, &mut self.waiting_bytes);
            }
        }
        Some(due)
    }

    /// Returns the key of a record.
    pub(crate) fn key(&self, offset: i64) -> Option<&Bytes> {
        self.held.get(offset)?.record.key.as_ref()
    }

    /// Handles the timer of a record.
    pub(crate) fn handle_timer(&mut self, offset: i64, now: Timestamp) -> Vec<Next> {
        let Some(held) = self.held.get(offset) else {
            return Vec::new();
        };
        if held.state != RecordState::Parked {
            return Vec::new();
        }
        match &held.record.key {
            Some(key) if self.keys.contains_key(key) => {
                let key = key.clone();
                self.deliver_due_of_key(&key, now)
            }
            _ if held.wait.is_some() => {
                vec![self.forward_or_wait(offset, now)]
            }
            _ => vec![Next::Deliver(self.deliver(offset))],
        }
    }

    /// Delivers the parked records of a key in order, up to the first that is not due.
    fn deliver_due_of_key(&mut self, key: &Bytes, now: Timestamp) -> Vec<Next> {
        let mut next = Vec::new();
        while let Some(waiting) = self.keys.get_mut(key) {
            match waiting.first_key_value() {
                Some((&offset, &due)) if due <= now => {
                    waiting.pop_first();
                    if self.held.get(offset).is_some() {
                        next.push(Next::Deliver(self.deliver(offset)));
                    }
                }
                Some(_) => break,
                None => {
                    self.keys.remove(key);
                }
            }
        }
        next
    }

    /// Forgets a record that was not received. It is not done, so that the next owner of the partition receives it.
    pub(crate) fn forget_unreceived(&mut self, offset: i64) {
        self.forget(offset);
        self.pending.remove(&offset);
        self.resumed.remove(&offset);
    }

    fn forget(&mut self, offset: i64) -> bool {
        let Some(mut held) = self.held.remove(offset) else {
            return false;
        };
        held.set_state(RecordState::Delivered, &mut self.waiting_bytes);
        true
    }

    /// Says whether the partition is idle until a record arrives or ends, or all partitions are paused or resumed.
    pub(crate) fn is_idle(&self) -> bool {
        let progress = self.progress.as_ref();
        progress.is_some_and(|progress| !progress.has_changes())
            && self.position.is_fetched
            && self.position.rewind.is_none()
            && self.pending.is_empty()
            && self.unmeasured.is_empty()
            && !self.is_heavy
    }

    /// Returns the number of records in progress: received and not settled.
    pub(crate) fn n_delivered(&self) -> usize {
        let held = self.held.values();
        let resumed = self.resumed.values().filter(|is_done| !**is_done);
        held.filter(|held| held.state == RecordState::Delivered)
            .count()
            + resumed.count()
    }

    /// Returns the number of records below the end of the log that are not done; `None` while that is unknown. Below `fetched`
    /// no further record arrives.
    pub(crate) fn lag(&self, fetched: Option<i64>, end: i64) -> Option<u64> {
        let start = fetched.max(self.position.next());
        self.progress.as_ref()?.n_not_done(start, end)
    }

    /// Returns the publication time of the oldest record that is not done.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.held.values().next().map(|held| held.at)
    }
}

#[cfg(test)]
mod tests;
