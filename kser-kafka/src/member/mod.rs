mod active;
mod arrival;
mod pressure;
mod revoked;
mod waits;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use kser_core::{Error, Record, Timestamp, Topic};
use rdkafka::message::{BorrowedMessage, Message};

pub(crate) use self::arrival::ArrivalOutcome;
pub(crate) use self::revoked::FinalCommit;
use self::revoked::RevokedPartition;

use crate::assignment::{Assignment, Next};
use crate::channel::{Commands, PollChannel, QueuedRecord, RecordId};
use crate::delay::forward_failures::LogLimiter;
use crate::producer::Publisher;
use crate::progress::PartitionProgress;
use crate::transaction::TransactionLink;

/// The partitions of one member of a group, and their records. It uses the channel to the subscription, and no client.
#[derive(Debug)]
pub(crate) struct Member {
    channel: Arc<PollChannel>,
    publisher: Arc<Publisher>,
    /// The transaction thread, with exactly-once delivery.
    pub(crate) transactions: Option<Arc<TransactionLink>>,
    /// The subscribed topics, or their delay topics.
    topics: BTreeMap<String, SubscribedTopic>,
    assignments: BTreeMap<u64, Assignment>,
    places: BTreeMap<(usize, i32), u64>,
    revoked: BTreeMap<(usize, i32), RevokedPartition>,
    /// The assignments that the next poll looks at. It skips the others.
    active: BTreeSet<u64>,
    /// The size of the records that cannot be delivered yet, in bytes, at the last look.
    waiting_bytes: usize,
    timers: BinaryHeap<Reverse<(Timestamp, u64, i64)>>,
    /// Some timers belong to assignments that were removed.
    has_dead_timers: bool,
    /// Set while the brokers' clock is being measured.
    measuring: Arc<AtomicBool>,
    /// The earliest time of the next measurement of the brokers' clock.
    measure_at: Timestamp,
    /// Limits the log lines about topics to which delayed records could not be forwarded.
    log_limiter: LogLimiter,
    out: Vec<QueuedRecord>,
    next_id: u64,
    /// The number of offsets that were deleted from logs before their records were received.
    pub(crate) deleted: u64,
    /// The number of times that the log of a partition went back, was truncated or recreated.
    pub(crate) resets: u64,
    /// The member closes: no more records are delivered.
    pub(crate) closing: bool,
    /// The commands that are not carried out yet. Settled and released records are handled at once.
    pub(crate) pending_commands: Commands,
}

#[derive(Debug, Clone)]
struct SubscribedTopic {
    number: usize,
    topic: Topic,
    waits_for: Option<(Topic, Duration)>,
}

impl Member {
    /// Makes a member that receives the records of topics.
    pub(crate) fn new(
        channel: Arc<PollChannel>,
        publisher: Arc<Publisher>,
        topics: &[Topic],
    ) -> Self {
        let topics = topics.iter().map(|topic| (topic.clone(), None));
        Self::subscribed(channel, publisher, topics)
    }

    /// Makes a member that forwards the delayed records of topics. It has no topics if none of them has delay topics.
    pub(crate) fn of_waits(
        channel: Arc<PollChannel>,
        publisher: Arc<Publisher>,
        topics: &[Topic],
    ) -> Self {
        let waits = topics.iter().filter(|topic| !crate::delay::has_none(topic));
        let waits = waits.flat_map(|topic| {
            crate::delay::topics(topic)
                .map(move |(waits, length)| (waits, Some((topic.clone(), length))))
        });
        Self::subscribed(channel, publisher, waits)
    }

    fn subscribed(
        channel: Arc<PollChannel>,
        publisher: Arc<Publisher>,
        topics: impl Iterator<Item = (Topic, Option<(Topic, Duration)>)>,
    ) -> Self {
        let topics = topics.enumerate().map(|(number, (topic, waits_for))| {
            let name = topic.as_str().to_owned();
            let subscribed = SubscribedTopic {
                number,
                topic,
                waits_for,
            };
            (name, subscribed)
        });
        Self {
            channel,
            publisher,
            transactions: None,
            topics: topics.collect(),
            assignments: BTreeMap::new(),
            places: BTreeMap::new(),
            revoked: BTreeMap::new(),
            active: BTreeSet::new(),
            waiting_bytes: 0,
            timers: BinaryHeap::new(),
            has_dead_timers: false,
            measuring: Arc::default(),
            measure_at: Timestamp::default(),
            log_limiter: LogLimiter::default(),
            out: Vec::new(),
            next_id: 1,
            deleted: 0,
            resets: 0,
            closing: false,
            pending_commands: Commands::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.publisher.time.now()
    }

    /// Returns the time of day, which is compared with the timestamps of producers.
    pub(crate) fn wall(&self) -> Timestamp {
        self.publisher.time.wall()
    }

    /// Returns the topics to subscribe to.
    pub(crate) fn topics(&self) -> Vec<&str> {
        self.topics.keys().map(String::as_str).collect()
    }

    /// Adds a partition that was assigned. `None` if its topic is not subscribed to.
    pub(crate) fn add_partition(&mut self, topic: &str, partition: i32) -> Option<&mut Assignment> {
        let subscribed = self.topics.get(topic)?.clone();
        let returned = self.take_revoked(subscribed.number, partition);
        let returned = returned.map(RevokedPartition::into_parts);
        let id = match &returned {
            Some((id, ..)) => *id,
            None => self.next_id,
        };
        self.next_id = self.next_id.max(id + 1);
        self.places.insert((subscribed.number, partition), id);
        self.active.insert(id);
        self.channel.begin(id);
        let (topic, waits_for) = (subscribed.topic, subscribed.waits_for);
        let mut assignment = Assignment::new(id, topic, partition, waits_for);
        if let Some((_, revoked, resumed, final_commit)) = returned {
            (assignment.revoked, assignment.resumed) = (revoked, resumed);
            assignment.final_commit = Some(final_commit);
        }
        Some(self.assignments.entry(id).or_insert(assignment))
    }

    /// Returns the assignment of a partition.
    pub(crate) fn assignment_of(&mut self, topic: &str, partition: i32) -> Option<&mut Assignment> {
        let number = self.topics.get(topic)?.number;
        let id = *self.places.get(&(number, partition))?;
        self.activate(id)
    }

    /// Returns the progress of an assignment.
    pub(crate) fn progress(&mut self, assignment: u64) -> Option<&mut PartitionProgress> {
        self.activate(assignment)?.progress.as_mut()
    }

    /// Says whether the member has a partition by this assignment, and knows its progress.
    pub(crate) fn owns(&self, assignment: u64) -> bool {
        let assignment = self.assignments.get(&assignment);
        assignment.is_some_and(|assignment| assignment.progress.is_some())
    }

    /// Marks a record as done that the confirmed commit of a transaction says to be done.
    pub(crate) fn mark_committed(&mut self, id: RecordId) {
        if let Some(assignment) = self.activate(id.assignment) {
            assignment.mark_committed(id.offset);
        }
    }

    /// Lists the assigned partitions.
    pub(crate) fn partitions(&self) -> Vec<(String, i32)> {
        let assignments = self.assignments.values();
        let places = assignments.map(|it| (it.topic.as_str().to_owned(), it.partition));
        places.collect()
    }

    pub(crate) fn assignments(&mut self) -> impl Iterator<Item = &mut Assignment> {
        self.assignments.values_mut()
    }

    /// Removes a partition. Its records that are being processed are lost.
    pub(crate) fn remove_partition(&mut self, topic: &str, partition: i32) {
        let Some(subscribed) = self.topics.get(topic) else {
            return;
        };
        if let Some(assignment) = self.remove(subscribed.number, partition) {
            self.channel.end(assignment.id);
            assignment.revoked.cancel();
        }
    }

    /// Removes an assignment, and its records that were not received from the inbox.
    fn remove(&mut self, number: usize, partition: i32) -> Option<Assignment> {
        let id = self.places.remove(&(number, partition))?;
        self.active.remove(&id);
        self.has_dead_timers = true;
        self.channel.recall(|waiting| waiting.id.assignment == id);
        let assignment = self.assignments.remove(&id)?;
        self.waiting_bytes -= assignment.weighed;
        Some(assignment)
    }

    /// Delivers records that waited for a commit, or for the committed offset to be read.
    pub(crate) fn deliver_pending(&mut self) {
        if self.closing {
            return;
        }
        let now = self.now();
        for id in self.active.iter().copied().collect::<Vec<_>>() {
            while let Some((offset, next)) = self
                .assignments
                .get_mut(&id)
                .and_then(|assignment| assignment.next_pending(now))
            {
                self.carry_out(id, offset, next);
            }
        }
    }

    /// Handles the timers that are due.
    pub(crate) fn handle_timers(&mut self) {
        if self.closing {
            return;
        }
        if std::mem::take(&mut self.has_dead_timers) {
            // Once for all partitions of a rebalance. Timers may be due in an hour, and there may be many rebalances until
            // then.
            let assignments = &self.assignments;
            self.timers
                .retain(|Reverse((_, id, _))| assignments.contains_key(id));
        }
        let now = self.now();
        self.measure_clock(now);
        while let Some(Reverse((due, id, offset))) = self.timers.peek().copied() {
            if due > now {
                return;
            }
            self.timers.pop();
            let assignment = self.activate(id);
            let next = assignment.map(|assignment| assignment.handle_timer(offset, now));
            for next in next.unwrap_or_default() {
                self.carry_out(id, offset, next);
            }
        }
    }

    /// Returns the time until the next timer is due.
    pub(crate) fn until_next(&self) -> Option<Duration> {
        let Reverse((due, ..)) = self.timers.peek()?;
        Some(due.since(self.now()))
    }

    fn carry_out(&mut self, id: u64, offset: i64, next: Next) {
        match next {
            Next::Deliver(waiting) => self.out.push(waiting),
            Next::Wait(until) => self.timers.push(Reverse((until, id, offset))),
            Next::Forward(record) => self.forward_delayed(
                RecordId {
                    assignment: id,
                    offset,
                },
                record,
            ),
            Next::Done => self.mark_done(RecordId {
                assignment: id,
                offset,
            }),
            Next::Nothing => {}
        }
    }

    /// Moves the records that are ready to the inbox.
    pub(crate) fn flush(&mut self) {
        if !self.out.is_empty() {
            self.channel.deliver(self.out.drain(..));
        }
    }

    /// Takes the commands of the channel, and handles settled and released records at once.
    pub(crate) fn handle_settled(&mut self, channel: &PollChannel) {
        // In a rebalance callback fetched records may not be in the inbox yet, and only there they can be recalled.
        self.flush();
        let mut commands = channel.take_commands();
        for id in commands.done.drain(..) {
            self.mark_done(id);
        }
        for (id, error) in commands.unsent.drain(..) {
            self.keep_unforwarded(id, &error);
        }
        let released = commands.released.len();
        for (id, not_before, failed) in commands.released.drain(..) {
            self.take_released(id, not_before, failed);
        }
        channel.confirm_releases(released);
        self.pending_commands.begun.append(&mut commands.begun);
        self.pending_commands.dropped |= commands.dropped;
        self.pending_commands.at_once |= commands.at_once;
        if commands.close.is_some() {
            self.pending_commands.close = commands.close;
        }
    }

    fn mark_done(&mut self, id: RecordId) {
        match self.activate(id.assignment) {
            Some(assignment) => assignment.mark_done(id.offset),
            None => self.mark_revoked_done(id),
        }
    }

    /// Takes a released record back. It is redelivered before later records of its key.
    fn take_released(&mut self, id: RecordId, not_before: Option<Timestamp>, failed: u32) {
        self.active.insert(id.assignment);
        let Some(assignment) = self.assignments.get_mut(&id.assignment) else {
            return self.release_revoked(id);
        };
        assignment.note_release(id.offset, failed);
        if self.closing {
            return assignment.forget_unreceived(id.offset);
        }
        let later = match assignment.key(id.offset).cloned() {
            None => Vec::new(),
            Some(key) => self.channel.recall(|waiting| {
                waiting.id.assignment == id.assignment
                    && waiting.id.offset > id.offset
                    && waiting.record.key.as_ref() == Some(&key)
            }),
        };
        let later: Vec<_> = later.iter().map(|waiting| waiting.id.offset).collect();
        let due = not_before.map_or_else(Timestamp::default, |due| due + crate::delay::SLACK);
        if let Some(due) = assignment.park_released(id.offset, due, &later) {
            self.timers.push(Reverse((due, id.assignment, id.offset)));
        }
    }

    /// Notes that a suspected poison message is about to run.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] if the member has lost the partition.
    pub(crate) fn begin(&mut self, id: RecordId) -> Result<(), Error> {
        let progress = self.progress(id.assignment);
        progress.ok_or(Error::Lost)?.begin(id.offset);
        Ok(())
    }

    /// Takes records of assignments back from the inbox. Returns the number of their records that were received and are not
    /// settled.
    pub(crate) fn recall(&mut self, which: impl Fn(&Assignment) -> bool) -> usize {
        let assignments = self.assignments.values();
        let ids: BTreeSet<_> = assignments
            .filter(|assignment| which(assignment))
            .map(|assignment| assignment.id)
            .collect();
        // In one pass, since there may be thousands.
        for waiting in self
            .channel
            .recall(|waiting| ids.contains(&waiting.id.assignment))
        {
            if let Some(assignment) = self.activate(waiting.id.assignment) {
                assignment.forget_unreceived(waiting.id.offset);
            }
        }
        let recalled = ids.iter().filter_map(|id| self.assignments.get(id));
        recalled.map(Assignment::n_delivered).sum()
    }
}

pub(crate) fn record(topic: Topic, message: &BorrowedMessage<'_>) -> Record {
    let bytes = bytes::Bytes::copy_from_slice;
    let mut record = Record::new(topic, message.payload().map(bytes));
    record.key = message.key().map(bytes);
    let mut left_out = 0;
    for header in kser_librdkafka::headers(message) {
        match str::from_utf8(header.name) {
            Ok(name) => record
                .headers
                .push((name.to_owned(), header.value.map(bytes))),
            Err(_) => left_out += 1,
        }
    }
    if left_out > 0 {
        tracing::error!(
            target: "kser_kafka",
            topic = message.topic(), partition = message.partition(), offset = message.offset(), left_out,
            "reading headers failed: their names are not UTF-8; the record is delivered without them",
        );
    }
    record
}

#[cfg(test)]
pub(crate) mod tests;
