//! Logs that change while they are read: shortened by retention, truncated by a new leader, or recreated.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kser_core::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::clock::monotonic;
use crate::consumer::context::MemberContext;
use crate::offsets::log_bounds::{self, LogBounds, TopicPartition};
use crate::partition_list::list;

/// The timeout of a request.
const ANSWER: Duration = Duration::from_secs(1);
/// The pause before a retry.
const AGAIN: Duration = Duration::from_millis(500);
/// The number of partitions in one seek. The client searches its list for each.
const SEEKS: usize = 1000;
/// The number of partitions that an error names.
const NAMED: usize = 10;

/// Keeps the client's position and the progress of partitions consistent after their logs changed.
#[derive(Debug)]
pub(crate) struct LogResets {
    /// The earliest time at which the bounds of logs are read again.
    next_look: Instant,
    /// The earliest time of the next seek.
    next_seek: Instant,
}

impl LogResets {
    pub(crate) fn new() -> Self {
        Self {
            next_look: monotonic(),
            next_seek: monotonic(),
        }
    }

    /// Reads the starts of logs if the client has logged an offset reset. Must be called before a polled record is taken: the
    /// client logs a reset before the records after it.
    pub(crate) fn look(&mut self, consumer: &BaseConsumer<MemberContext>, context: &MemberContext) {
        if !context.was_reset() || monotonic() < self.next_look {
            return;
        }
        let mut member = context.member();
        let fetched = member.assignments().filter(|it| it.position.is_fetched);
        let fetched = fetched.map(|it| (it.topic.as_str().to_owned(), it.partition));
        let fetched: Vec<TopicPartition> = fetched.collect();
        drop(member);
        let found = log_bounds::read(consumer, &fetched, monotonic() + ANSWER);
        if found.len() == fetched.len() {
            context.forget_reset();
        }
        self.next_look = monotonic() + AGAIN;
        let mut member = context.member();
        for ((topic, partition), bounds) in found {
            if let Some(assignment) = member.assignment_of(&topic, partition) {
                assignment.position.note_log_start(bounds.start);
            }
        }
    }

    /// Restarts a partition whose log went back, so that its offsets are those of other records now. Seeks to the oldest record
    /// that is not done, since no other member runs it.
    pub(crate) fn begin_anew(
        &mut self,
        consumer: &BaseConsumer<MemberContext>,
        context: &MemberContext,
        message: &BorrowedMessage<'_>,
    ) {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        let mut member = context.member();
        let assignment = member.assignment_of(topic, partition);
        // The topic was recreated, and the client has to seek to the start.
        if assignment.is_some_and(|assignment| assignment.position.rewind.is_some()) {
            return;
        }
        let Some(first) = member.restart_at(topic, partition, offset) else {
            return;
        };
        if first == offset {
            let now = member.now();
            member.receive_message(message, now);
            return;
        }
        drop(member);
        self.next_seek = monotonic();
        self.seek(consumer, context);
    }

    /// Makes the client seek where it has to, if it is time.
    pub(crate) fn seek(&mut self, consumer: &BaseConsumer<MemberContext>, context: &MemberContext) {
        if monotonic() >= self.next_seek && !seek(context, consumer) {
            self.next_seek = monotonic() + AGAIN;
        }
    }
}

/// Finds the partitions whose position is out of range, since the error of the client does not name them. `client_error` is the
/// error: it names an offset if the log was truncated and has grown beyond it again.
pub(crate) fn out_of_range(
    consumer: &BaseConsumer<MemberContext>,
    context: &MemberContext,
    client_error: Option<&str>,
) -> String {
    let mut member = context.member();
    let fetched = member.assignments().filter(|it| it.position.is_fetched);
    let next: BTreeMap<TopicPartition, i64> = fetched
        .filter_map(|it| {
            let place = (it.topic.as_str().to_owned(), it.partition);
            Some((place, it.position.next()?))
        })
        .collect();
    drop(member);
    let places: Vec<_> = next.keys().cloned().collect();
    let bounds = log_bounds::read(consumer, &places, monotonic() + ANSWER);
    let outside = next.iter().filter_map(|((topic, partition), next)| {
        let LogBounds { start, end, .. } = bounds.get(&(topic.clone(), *partition))?;
        let is_named =
            || client_error.is_some_and(|error| error.contains(&format!("offset {next} ")));
        let why = match (next < start, next > end, is_named()) {
            (true, ..) => format!("its log begins at offset {start}"),
            (_, true, _) => format!("its log ends at offset {end}"),
            (.., true) => "its log was truncated below".to_owned(),
            _ => return None,
        };
        Some(format!(
            "{topic} [{partition}] continues at offset {next}, but {why}"
        ))
    });
    let outside: Vec<_> = outside.take(NAMED).collect();
    match outside.is_empty() {
        true => {
            let all = next
                .keys()
                .map(|(topic, partition)| (topic.as_str(), *partition));
            format!("one of {}", list(all))
        }
        false => outside.join("; "),
    }
}

/// A seek of one partition.
struct Seek {
    assignment: u64,
    topic: Topic,
    partition: i32,
    offset: i64,
    epoch: Option<i32>,
}

/// Makes the client seek in all partitions where it has to. Returns whether all seeks succeeded.
pub(super) fn seek(context: &MemberContext, consumer: &BaseConsumer<MemberContext>) -> bool {
    let member = context.member();
    let to_seek = member.active().filter(|it| it.position.is_fetched);
    let to_seek = to_seek.filter_map(|assignment| {
        Some(Seek {
            assignment: assignment.id,
            topic: assignment.topic.clone(),
            partition: assignment.partition,
            offset: assignment.position.rewind?,
            epoch: assignment.position.epoch,
        })
    });
    let to_seek: Vec<_> = to_seek.collect();
    drop(member);
    let mut all_went = true;
    for to_seek in to_seek.chunks(SEEKS) {
        match seek_partitions(consumer, to_seek) {
            Ok(went) => {
                let mut member = context.member();
                for assignment in member.assignments() {
                    if went.contains(&assignment.id) {
                        assignment.position.rewind = None;
                    }
                }
                all_went &= went.len() == to_seek.len();
            }
            Err(error) => {
                let partitions = to_seek.iter().map(|it| (it.topic.as_str(), it.partition));
                tracing::warn!(
                    target: "kser_kafka",
                    group = context.group, %error, partitions = list(partitions),
                    "seeking failed; the partitions wait; retrying in 500ms",
                );
                all_went = false;
            }
        }
    }
    all_went
}

/// Makes the client seek to offsets. Returns the assignments whose seek succeeded.
fn seek_partitions(
    consumer: &BaseConsumer<MemberContext>,
    to_seek: &[Seek],
) -> KafkaResult<BTreeSet<u64>> {
    let mut list = TopicPartitionList::with_capacity(to_seek.len());
    for (index, to) in to_seek.iter().enumerate() {
        let offset = Offset::Offset(to.offset);
        list.add_partition_offset(to.topic.as_str(), to.partition, offset)?;
        if let Some(epoch) = to.epoch {
            kser_librdkafka::set_leader_epoch(&mut list, index, epoch);
        }
    }
    let sought = consumer.seek_partitions(list, ANSWER)?;
    let mut went = BTreeSet::new();
    for (to, sought) in to_seek.iter().zip(kser_librdkafka::partitions(&sought)) {
        match sought.error {
            None => drop(went.insert(to.assignment)),
            Some(code) => {
                tracing::warn!(
                    target: "kser_kafka",
                    topic = %to.topic, partition = to.partition, offset = to.offset, %code,
                    "seeking failed; the partition waits; retrying in 500ms",
                );
            }
        }
    }
    Ok(went)
}

#[cfg(test)]
mod tests;
