//! Where partitions start: the client gets a partition only together with the offset to read from. If the client looked the
//! offset up itself, it would ask for each partition alone, and never read a partition whose coordinator moves meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use kser_core::Topic;
use kser_librdkafka::TopicId;
use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::assignment::Assignment;
use crate::clock::monotonic;
use crate::commit::{self, Committed};
use crate::consumer::context::{MemberContext, log_failure};
use crate::error::failed;
use crate::offsets::added_partitions;
use crate::offsets::log_bounds::{self, LogBounds, TopicPartition};
use crate::offsets::log_resets;
use crate::offsets::start_state::StartState;
use crate::partition_list::list;
use crate::progress::{PartitionProgress, TopicMark};

/// Reads the start offsets of the partitions that have none yet, and assigns these partitions to the client.
///
/// `limit` is the timeout for 1,000 partitions: twice as many may take twice as long.
pub(crate) fn start_partitions(
    context: &MemberContext,
    consumer: &BaseConsumer<MemberContext>,
    limit: Duration,
) {
    read_starts(context, consumer, limit);
    fetch_started(context, consumer);
}

/// Does the same for partitions that could not start with the others. If none can start now, the client keeps its assignment:
/// under an eager protocol a new one would restart all partitions.
pub(crate) fn start_late(
    context: &MemberContext,
    consumer: &BaseConsumer<MemberContext>,
    limit: Duration,
) {
    read_starts(context, consumer, limit);
    let is_late = |it: &Assignment| !it.position.is_fetched && it.position.next().is_some();
    let is_any_known = context.member().active().any(is_late);
    if is_any_known {
        fetch_started(context, consumer);
    }
}

fn read_starts(context: &MemberContext, consumer: &BaseConsumer<MemberContext>, limit: Duration) {
    let unread: Vec<TopicPartition> = context
        .member()
        .assignments()
        .filter(|assignment| assignment.progress.is_none())
        .map(|assignment| (assignment.topic.as_str().to_owned(), assignment.partition))
        .collect();
    if !unread.is_empty() {
        read(context, consumer, &unread, limit);
    }
}

fn read(
    context: &MemberContext,
    consumer: &BaseConsumer<MemberContext>,
    unread: &[TopicPartition],
    limit: Duration,
) {
    let mut list = TopicPartitionList::with_capacity(unread.len());
    for (topic, partition) in unread {
        list.add_partition(topic, *partition);
    }
    let committed = match commit::read(consumer, &list, limit) {
        Ok(committed) => committed,
        Err(error) => {
            tracing::warn!(
                target: "kser_kafka",
                group = context.group, %error, partitions = unread.len(),
                "reading committed offsets failed; the partitions start later",
            );
            return;
        }
    };
    let topics = committed.keys().map(|(topic, _)| topic.clone()).collect();
    // With many partitions the client is busy.
    let of_ids = commit::for_partitions(limit, unread.len());
    let ids = match context.ids.read(consumer, &topics, of_ids) {
        Ok(ids) => ids,
        Err(error) => {
            tracing::warn!(
                target: "kser_kafka",
                group = context.group, %error, partitions = unread.len(),
                "reading the ids of topics failed; the partitions start later",
            );
            return;
        }
    };
    let places: Vec<_> = committed.keys().cloned().collect();
    let until = monotonic() + commit::for_partitions(limit, places.len());
    let mut bounds = log_bounds::read(consumer, &places, until);
    let ends = read_hidden_ends(context, consumer, &committed, &bounds, limit);
    let begun = match is_strict(context) {
        true => added_partitions::topics_with_offsets(consumer, &committed, limit),
        false => BTreeMap::new(),
    };
    let mut new = Vec::new();
    let mut member = context.member();
    for (place, committed) in &committed {
        let Some(assignment) = member.assignment_of(&place.0, place.1) else {
            continue;
        };
        let Some(&id) = ids.get(&place.0) else {
            continue;
        };
        let bounds = bounds.remove(place);
        let Some((progress, start, found)) =
            resolve_start(context, committed, id, bounds, ends.get(place).copied())
        else {
            continue;
        };
        if !assignment.may_resume(committed) || !matches!(found, StartState::Committed) {
            member.restart_assignment(&place.0, place.1);
        }
        let Some(assignment) = member.assignment_of(&place.0, place.1) else {
            continue;
        };
        assignment.final_commit = None;
        let (topic, partition) = (assignment.topic.clone(), place.1);
        let is_of_waits = assignment.waits_for.is_some();
        // Operators set offsets only for the group of the topic.
        if found.needs_reset() && is_strict(context) && !is_of_waits {
            let is_whole = matches!(found, StartState::Nothing(_)) && start == 0;
            match begun.get(&place.0).filter(|_| is_whole) {
                Some(true) => tracing::info!(
                    target: "kser_kafka",
                    group = context.group, %topic, partition,
                    "a partition starts at the beginning of its log: it was added to a topic in which the group has committed offsets",
                ),
                // The committed offsets of the topic are not known yet.
                None if is_whole => continue,
                _ => {
                    end_without_offset(
                        context,
                        format!(
                            "group {} has no offset that can be used: {topic} [{partition}] {}, and `auto.offset.reset` is `error`",
                            context.group,
                            found.reason(start),
                        ),
                    );
                    continue;
                }
            }
        } else if matches!(found, StartState::Nothing(1..)) && !is_of_waits {
            new.push((topic, partition));
        }
        assignment.begin(progress);
        assignment.topic_id = id;
        assignment.position.start(start);
        assignment.position.epoch = found.epoch_to_compare(committed, bounds);
        match found {
            StartState::Recreated(was) => {
                member.log_recreated(&place.0, partition, start, Some(was))
            }
            StartState::Deleted(count @ 1..) => {
                member.log_deleted(&place.0, partition, start, count);
            }
            StartState::Beyond(committed, end) => {
                assignment.position.cut_at = Some(end);
                member.log_end_below_commit(&place.0, partition, committed, end);
            }
            StartState::Cut(end) => member.log_truncated(&place.0, partition, end),
            StartState::Committed | StartState::Nothing(_) | StartState::Deleted(0) => {}
        }
    }
    drop(member);
    log_new_partitions(context, &new);
}

/// Reads the ends of logs that seem to end below the committed offset, since a reader of committed records sees the end at the
/// first open transaction. Leaves out logs whose end no broker tells within the limit.
fn read_hidden_ends(
    context: &MemberContext,
    consumer: &BaseConsumer<MemberContext>,
    committed: &BTreeMap<TopicPartition, Committed>,
    bounds: &BTreeMap<TopicPartition, LogBounds>,
    limit: Duration,
) -> BTreeMap<TopicPartition, i64> {
    let below = committed.iter().filter_map(|(place, committed)| {
        let end = bounds.get(place)?.end;
        (committed.offset? > end).then_some((place.0.as_str(), place.1))
    });
    let below: Vec<_> = below.collect();
    if below.is_empty() {
        return BTreeMap::new();
    }
    match kser_librdkafka::log_ends(consumer.client(), &below, limit) {
        Ok(ends) => {
            let ends = ends.into_iter();
            ends.filter_map(|found| Some(((found.topic, found.partition), found.end.ok()?)))
                .collect()
        }
        Err(error) => {
            tracing::warn!(
                target: "kser_kafka",
                group = context.group, %error, partitions = list(below),
                "reading the ends of logs failed; the partitions start later",
            );
            BTreeMap::new()
        }
    }
}

/// Makes the progress of a partition from the committed offset and its metadata, and decides where reading starts. `None` if
/// that needs the bounds of the log, and they are unknown. `end` is the end of a log that seems to end below the committed
/// offset.
fn resolve_start(
    context: &MemberContext,
    committed: &Committed,
    id: Option<TopicId>,
    bounds: Option<LogBounds>,
    end: Option<i64>,
) -> Option<(PartitionProgress, i64, StartState)> {
    let Some(offset) = committed.offset else {
        let bounds = bounds?;
        let progress = begin_at(context, bounds.start, id);
        let count = u64::try_from(bounds.end - bounds.start).unwrap_or(0);
        return Some((progress, bounds.start, StartState::Nothing(count)));
    };
    let is_of = PartitionProgress::topic_of(offset, &committed.metadata);
    if let (Some(is_of), Some(id)) = (is_of, id)
        && is_of != TopicMark::new(id.as_u128())
    {
        let bounds = bounds?;
        let progress = begin_at(context, bounds.start, Some(id));
        return Some((progress, bounds.start, StartState::Recreated(offset)));
    }
    let mut progress = take_over(context, offset, &committed.metadata, id);
    progress.set_epoch(committed.epoch);
    let Some(bounds) = bounds else {
        return Some((progress, offset, StartState::Committed));
    };
    if offset > bounds.end {
        let end = end?;
        if offset > end {
            let found = StartState::Beyond(offset, end);
            // With the leader epoch of the committed offset, the client finds the offset at which the log was truncated.
            return Some(match committed.epoch {
                Some(_) => (progress, offset, found),
                None => (begin_at(context, bounds.start, id), bounds.start, found),
            });
        }
    }
    let is_cut = progress.note_log_end(bounds.end.max(offset));
    let found = match progress.note_log_start(bounds.start) {
        0 if is_cut => StartState::Cut(bounds.end),
        0 => StartState::Committed,
        deleted => StartState::Deleted(deleted),
    };
    Some((progress, offset.max(bounds.start), found))
}

/// Makes the progress of a partition without settled records.
pub(crate) fn begin_at(
    context: &MemberContext,
    offset: i64,
    id: Option<TopicId>,
) -> PartitionProgress {
    take_over(context, offset, b"", id)
}

fn take_over(
    context: &MemberContext,
    offset: i64,
    metadata: &[u8],
    id: Option<TopicId>,
) -> PartitionProgress {
    let (writer, budget) = (context.writer, context.budget);
    let mut progress = PartitionProgress::take_over(Some(offset), metadata, writer, budget);
    if let Some(id) = id {
        progress.set_topic(TopicMark::new(id.as_u128()));
    }
    progress
}

/// Assigns the partitions with a known start offset to the client, unless it fetches them already.
fn fetch_started(context: &MemberContext, consumer: &BaseConsumer<MemberContext>) {
    let is_cooperative = matches!(
        consumer.rebalance_protocol(),
        RebalanceProtocol::Cooperative
    );
    let mut list = TopicPartitionList::new();
    let mut member = context.member();
    for assignment in member.assignments() {
        // Under an eager protocol all partitions are assigned again.
        if is_cooperative && assignment.position.is_fetched {
            continue;
        }
        if let Some(next) = assignment.position.next() {
            let (topic, partition) = (assignment.topic.as_str(), assignment.partition);
            let mut from = next;
            if assignment.position.epoch.is_some() {
                assignment.position.rewind = Some(next);
                from = assignment.position.cut_at.unwrap_or(next);
            }
            let added = list.add_partition_offset(topic, partition, Offset::Offset(from));
            assignment.position.is_fetched = added.is_ok();
            assignment.paused = false;
            log_failure("assigning a partition failed", added);
        }
    }
    // Partitions that were paused are not paused any more.
    member.activate_all();
    drop(member);
    let assigned = match is_cooperative {
        true => consumer.incremental_assign(&list),
        false => consumer.assign(&list),
    };
    log_failure("assigning partitions failed", assigned);
    // A pause of an earlier assignment of the same partition is still in effect.
    log_failure("resuming partitions failed", consumer.resume(&list));
    // A seek that fails is retried later.
    log_resets::seek(context, consumer);
    tracing::debug!(target: "kser_kafka", group = context.group, partitions = list.count(), "assigned");
}

/// Logs the partitions with records in which the group has no committed offset: it is new, or its offsets expired.
fn log_new_partitions(context: &MemberContext, new: &[(Topic, i32)]) {
    if !new.is_empty() {
        let new = new
            .iter()
            .map(|(topic, partition)| (topic.as_str(), *partition));
        tracing::warn!(
            target: "kser_kafka",
            "group {} has no committed offset in {}: the group is new, or the offset expired; `auto.offset.reset` is {}",
            context.group, list(new), context.reset,
        );
    }
}

/// Says whether the member ends if a partition has no usable committed offset.
fn is_strict(context: &MemberContext) -> bool {
    context.reset == "error"
}

/// Ends the member with an error.
fn end_without_offset(context: &MemberContext, why: String) {
    let code = KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset);
    context.end_with(failed(why, None, code));
}
