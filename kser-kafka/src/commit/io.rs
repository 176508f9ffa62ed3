//! Writes offset commits without waiting, and confirms them by reading them back. The client's synchronous commit has no
//! timeout: with a frozen broker it does not return.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::assignment::Assignment;
use crate::channel::RecordId;
use crate::clock::monotonic;
use crate::commit::request_size::RequestSize;
use crate::consumer::context::MemberContext;
use crate::error::code;
use crate::member::Member;
use crate::partition_list::list;
use crate::progress::Commit;

/// The number of partitions in one request. The client's work for a request grows with the square of it: 1,000 take it
/// 10 ms, 10,000 more than a second.
const PARTITIONS: usize = 1000;
/// The number of final requests that may be refused whole, and the pause after the first of them. Each further pause is twice
/// as long, and each further request half as large.
const REFUSALS: (u32, Duration) = (5, Duration::from_millis(10));
/// The pause after an answer that the coordinator of the group has moved.
const MOVED: Duration = Duration::from_millis(20);

/// The committed offset of a group in a partition, with its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: Option<i64>,
    /// The latest leader epoch of the records that the committing member had received.
    pub(crate) epoch: Option<i32>,
    /// The metadata. Other programs may have written any bytes.
    pub(crate) metadata: Vec<u8>,
}

/// The commit of one partition, and the number of its assignment.
#[derive(Debug)]
pub(crate) struct CommitEntry {
    pub(crate) assignment: u64,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) commit: Commit,
}

impl CommitEntry {
    /// Returns the greatest size of the broker's record of this commit in the offsets topic, in bytes.
    pub(crate) fn size(&self, group: &str) -> usize {
        // Lengths, versions, partition, offset, leader epoch, two times, the topic's id, and the record around them.
        const FIXED: usize = 90;
        FIXED + group.len() + self.topic.len() + self.commit.metadata.len()
    }
}

/// The commits of one request.
#[derive(Debug, Default)]
pub(crate) struct CommitRequest {
    pub(crate) entries: Vec<CommitEntry>,
    pub(crate) bytes: usize,
    /// Further partitions have changes that do not fit into this request.
    pub(crate) is_full: bool,
}

impl CommitRequest {
    /// Adds an entry. Returns whether there may be room for another.
    fn add(&mut self, entry: CommitEntry, group: &str, limit: usize) -> bool {
        self.bytes += entry.size(group);
        self.entries.push(entry);
        self.entries.len() < PARTITIONS && self.bytes < limit
    }
}

/// Collects changes that are not committed yet, as many as fit into one request. Starts with the assignment after `after`, so
/// that a partition whose commit is refused does not block the others.
pub(crate) fn next_request(
    member: &mut Member,
    after: u64,
    group: &str,
    limit: usize,
) -> CommitRequest {
    let mut request = CommitRequest::default();
    let mut add = |assignment: &mut Assignment| {
        if !request.is_full
            && let Some(entry) = change(assignment)
        {
            request.is_full = !request.add(entry, group, limit);
        }
    };
    for is_after in [true, false] {
        member.each_active(|assignment| {
            if (assignment.id > after) == is_after {
                add(assignment);
            }
        });
    }
    request
}

/// Collects the commits of the partitions of these records as if they were done, and the changes of other partitions as far as they
/// fit into one request. Returns also whether the metadata describes all records that are done in the first.
pub(crate) fn statement(
    member: &mut Member,
    covers: &[(u64, RecordId)],
    size: &RequestSize,
    group: &str,
) -> (Vec<CommitEntry>, bool) {
    let mut covered = BTreeMap::<_, Vec<_>>::new();
    for (_, id) in covers {
        covered.entry(id.assignment).or_default().push(id.offset);
    }
    let (mut request, mut is_complete) = (CommitRequest::default(), true);
    for (assignment, done) in &covered {
        if let Some(assignment) = member.activate(*assignment)
            && let Some(entry) = change_with(assignment, done)
        {
            is_complete &= entry.commit.is_complete;
            request.is_full = !request.add(entry, group, size.bytes());
        }
    }
    member.each_active(|assignment| {
        if !request.is_full
            && !covered.contains_key(&assignment.id)
            && let Some(entry) = change(assignment)
        {
            request.is_full = !request.add(entry, group, size.bytes());
        }
    });
    (request.entries, is_complete)
}

/// Collects all changes that are not committed yet.
pub(crate) fn changes(member: &mut Member) -> Vec<CommitEntry> {
    member.assignments().filter_map(change).collect()
}

fn change(assignment: &mut Assignment) -> Option<CommitEntry> {
    change_with(assignment, &[])
}

/// Returns the commit of a partition as if these records were done, if there is anything new.
fn change_with(assignment: &mut Assignment, done: &[i64]) -> Option<CommitEntry> {
    let progress = assignment.progress.as_mut()?;
    let ends_any = done.iter().any(|offset| progress.holds(*offset));
    if !ends_any && !progress.has_changes() {
        return None;
    }
    let commit = match ends_any {
        true => progress.commit_with(done)?,
        false => progress.commit()?,
    };
    Some(CommitEntry {
        assignment: assignment.id,
        topic: assignment.topic.as_str().to_owned(),
        partition: assignment.partition,
        commit,
    })
}

/// Collects the final commits of partitions.
pub(crate) fn final_commits(member: &mut Member, partitions: &[(String, i32)]) -> Vec<CommitEntry> {
    let mut entries = Vec::new();
    for (topic, partition) in partitions {
        let Some(assignment) = member.assignment_of(topic, *partition) else {
            continue;
        };
        let commit = assignment
            .progress
            .as_mut()
            .and_then(|progress| progress.final_commit());
        entries.extend(commit.map(|commit| CommitEntry {
            assignment: assignment.id,
            topic: topic.clone(),
            partition: *partition,
            commit,
        }));
    }
    entries
}

/// Sends one commit request, without waiting for the answer.
pub(crate) fn send(
    consumer: &BaseConsumer<MemberContext>,
    entries: &[CommitEntry],
) -> KafkaResult<()> {
    consumer.commit(&list_of(entries)?, CommitMode::Async)
}

/// Lists offsets with their metadata and leader epochs.
pub(crate) fn list_of(entries: &[CommitEntry]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let mut element = list.add_partition(&entry.topic, entry.partition);
        element.set_offset(Offset::Offset(entry.commit.offset))?;
        element.set_metadata(&entry.commit.metadata);
        if let Some(epoch) = entry.commit.epoch {
            kser_librdkafka::set_leader_epoch(&mut list, index, epoch);
        }
    }
    Ok(list)
}

/// Reads back commits that were sent. Returns for each whether it is durable.
pub(crate) fn read_back(
    consumer: &BaseConsumer<MemberContext>,
    entries: &[CommitEntry],
    limit: Duration,
) -> KafkaResult<Vec<bool>> {
    let mut list = TopicPartitionList::with_capacity(entries.len());
    for entry in entries {
        list.add_partition(&entry.topic, entry.partition);
    }
    let found = read(consumer, &list, limit)?;
    let confirmed = entries.iter().map(|entry| {
        let found = found.get(&(entry.topic.clone(), entry.partition));
        found.is_some_and(|found| {
            found.offset == Some(entry.commit.offset)
                && found.metadata == entry.commit.metadata.as_bytes()
        })
    });
    Ok(confirmed.collect())
}

/// Writes commits in as many requests as they need, and reads them back. Returns for each whether it is durable.
///
/// `limit` is the timeout for 1,000 partitions: twice as many may take twice as long.
pub(crate) fn write_all(
    consumer: &BaseConsumer<MemberContext>,
    entries: &[CommitEntry],
    limit: Duration,
) -> KafkaResult<Vec<bool>> {
    let context = consumer.context();
    let until = monotonic() + for_partitions(limit, entries.len());
    let mut durable = Vec::with_capacity(entries.len());
    let mut refusals = 0;
    while durable.len() < entries.len() {
        let rest = &entries[durable.len()..];
        let (count, bytes) = one_request(rest, &context.group, context.request_size.bytes());
        let request = &rest[..count];
        send(consumer, request)?;
        let left = until.saturating_duration_since(monotonic());
        let found = match read_back(consumer, request, left) {
            Ok(found) => found,
            // The client looks for the new coordinator by itself.
            Err(error) if has_moved(&error) && monotonic() + MOVED < until => {
                std::thread::sleep(MOVED);
                continue;
            }
            Err(error) if durable.is_empty() => return Err(error),
            Err(_) => break,
        };
        let is_refused = !found.contains(&true);
        if is_refused && refusals < REFUSALS.0 {
            if count > 1 {
                context.request_size.note_refusal(bytes);
            }
            // A rebalance in progress is another reason for a refusal.
            std::thread::sleep(REFUSALS.1 * (1 << refusals));
            refusals += 1;
            continue;
        }
        if !is_refused {
            context.request_size.note_success();
        }
        durable.extend(found);
    }
    durable.resize(entries.len(), false);
    Ok(durable)
}

/// Says whether the broker that was asked is not the coordinator of the group, or not yet.
fn has_moved(error: &KafkaError) -> bool {
    matches!(
        code(error),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

/// Returns the number of entries that fit into one request, at least one, and their size in bytes.
fn one_request(entries: &[CommitEntry], group: &str, limit: usize) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for entry in entries.iter().take(PARTITIONS) {
        count += 1;
        bytes += entry.size(group);
        if bytes >= limit {
            break;
        }
    }
    (count, bytes)
}

/// Scales a timeout for 1,000 partitions to `count` partitions.
pub(crate) fn for_partitions(limit: Duration, count: usize) -> Duration {
    let more = u32::try_from(count / PARTITIONS).unwrap_or(u32::MAX - 1);
    limit.saturating_mul(more + 1)
}

/// Reads the committed offsets of partitions, 1,000 in a request. `limit` is the timeout of one request. Partitions whose
/// offset cannot be read now are left out.
///
/// # Errors
///
/// The last error, if no offset can be read.
pub(crate) fn read<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &TopicPartitionList,
    limit: Duration,
) -> KafkaResult<BTreeMap<(String, i32), Committed>> {
    let (mut committed, mut failed, mut refused) = (BTreeMap::new(), None, Vec::new());
    let entries = kser_librdkafka::partitions(partitions);
    for piece in entries.chunks(PARTITIONS) {
        let mut asked = TopicPartitionList::with_capacity(piece.len());
        for entry in piece {
            asked.add_partition(entry.topic, entry.partition);
        }
        match consumer.committed_offsets(asked, limit) {
            Ok(found) => take_committed(&found, &mut committed, &mut refused),
            // The next request would wait as long.
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    if let Some((_, _, error)) = refused.first() {
        let partitions = refused.iter();
        let partitions = partitions.map(|(topic, partition, _)| (&**topic, *partition));
        tracing::warn!(
            target: "kser_kafka",
            partitions = list(partitions), %error, "reading committed offsets failed; these partitions start later",
        );
        failed.get_or_insert_with(|| error.clone());
    }
    match failed {
        Some(error) if committed.is_empty() => Err(error),
        _ => Ok(committed),
    }
}

/// Takes the offsets, and the errors of partitions, out of an answer.
fn take_committed(
    found: &TopicPartitionList,
    committed: &mut BTreeMap<(String, i32), Committed>,
    refused: &mut Vec<(String, i32, KafkaError)>,
) {
    for entry in kser_librdkafka::partitions(found) {
        let place = (entry.topic.to_owned(), entry.partition);
        if let Some(error) = entry.error {
            refused.push((place.0, place.1, KafkaError::OffsetFetch(error)));
            continue;
        }
        let offset = match entry.offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let metadata = entry.metadata.to_vec();
        committed.insert(
            place,
            Committed {
                offset,
                epoch: entry.leader_epoch,
                metadata,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;

    use super::*;

    /// Reads the offsets of partition 0 of these topics from a broker that only has the topic `t`.
    fn read_of(topics: &[&str]) -> KafkaResult<Vec<(String, i32)>> {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let consumer: BaseConsumer = config.set("group.id", "g").create().unwrap();
        let mut list = TopicPartitionList::new();
        for topic in topics {
            list.add_partition(topic, 0);
        }
        let read = read(&consumer, &list, Duration::from_secs(10));
        read.map(|found| found.into_keys().collect())
    }

    fn assignments(request: &CommitRequest) -> Vec<u64> {
        let entries = request.entries.iter();
        entries.map(|entry| entry.assignment).collect()
    }

    #[test]
    fn requests_are_bounded_and_go_round() {
        let mut member = crate::member::tests::member();
        for assignment in member.assignments() {
            assignment.progress.as_mut().unwrap().receive(0);
            assignment.progress.as_mut().unwrap().mark_done(0);
        }
        let all = next_request(&mut member, 0, "g", usize::MAX);
        assert_eq!(assignments(&all), [1, 2]);
        assert!(!all.is_full && all.bytes > 200, "{all:?}");
        let one = next_request(&mut member, 0, "g", 1);
        assert_eq!(assignments(&one), [1]);
        assert!(one.is_full);
        // A refused commit does not come first again.
        assert_eq!(assignments(&next_request(&mut member, 1, "g", 1)), [2]);
        assert_eq!(assignments(&next_request(&mut member, 2, "g", 1)), [1]);
    }

    #[test]
    fn text_that_is_not_utf_8_is_read_without_a_panic() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let servers = cluster.bootstrap_servers();
        let text = b"\xff\xfe\x00\xc3";
        test_services::Admin::new(&servers).commit("g", "t", 0, 1, text);
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers);
        let consumer: BaseConsumer = config.set("group.id", "g").create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition("t", 0);
        let found = read(&consumer, &list, Duration::from_secs(10)).unwrap();
        let committed = &found[&("t".to_owned(), 0)];
        assert_eq!(
            (committed.offset, &*committed.metadata),
            (Some(1), &text[..])
        );
    }

    #[test]
    fn a_partition_that_errs_is_left_out() {
        let found = read_of(&["a", "t", "z"]).unwrap();
        assert_eq!(found, [("t".to_owned(), 0)]);
        assert!(read_of(&["a"]).is_err());
    }
}
