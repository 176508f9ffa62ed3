//! A model of a broker with partitions and groups, as far as the contract of transports describes one. The model is
//! plain: its callers make every change.

mod group;
mod members;
pub(super) mod records;

use std::collections::BTreeMap;
use std::sync::Arc;

use kser_core::{Record, Timestamp, Topic};

pub(crate) use self::group::Spot;
use self::group::{Group, PartitionState, RecordState, Unsettled};
pub(crate) use self::members::Member;
pub(crate) use self::records::CommitMove;
use super::Setup;
use super::labels::Decoded;

/// The id of a member of a group or of an observer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(pub(crate) u64);

/// All topics and groups.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) setup: Setup,
    topics: BTreeMap<Topic, Log>,
    groups: BTreeMap<String, Group>,
    members: BTreeMap<MemberId, Member>,
    /// Where deliveries that may be settled are, by their tickets.
    held: BTreeMap<u64, (String, Spot)>,
    joined: u64,
    serial: u64,
    count: u64,
    /// How often a record was published a second time, as by a producer that tries again.
    repeated: usize,
}

/// The log of a topic.
#[derive(Debug)]
struct Log {
    /// Whether records wait for a group that comes later.
    kept: bool,
    partitions: Vec<Vec<Published>>,
    /// Where the next record without a key goes.
    turn: usize,
    /// Whether a group has read it.
    grouped: bool,
}

/// A record in its place.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) record: Record,
    /// The decoded content of the record.
    pub(crate) decoded: Decoded,
    /// The label of the task, step or run event in the record.
    pub(crate) label: Arc<str>,
    pub(crate) at: Timestamp,
    /// The number of the record among all that were published.
    pub(crate) number: u64,
}

impl Broker {
    pub(crate) fn new(setup: Setup) -> Self {
        Self {
            setup,
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            members: BTreeMap::new(),
            held: BTreeMap::new(),
            joined: 0,
            serial: 0,
            count: 0,
            repeated: 0,
        }
    }

    /// Makes a topic, unless there is one.
    pub(crate) fn ensure(&mut self, topic: &Topic, partitions: Option<u32>, kept: bool) {
        let count = partitions.unwrap_or(self.setup.partitions).max(1) as usize;
        self.topics.entry(topic.clone()).or_insert_with(|| Log {
            kept,
            partitions: vec![Vec::new(); count],
            turn: 0,
            grouped: false,
        });
    }

    fn part(&self, group: &str, topic: &Topic, partition: usize) -> Option<&PartitionState> {
        self.groups
            .get(group)?
            .parts
            .get(&(topic.clone(), partition))
    }

    fn part_mut(
        &mut self,
        group: &str,
        topic: &Topic,
        partition: usize,
    ) -> Option<&mut PartitionState> {
        let group = self.groups.get_mut(group)?;
        group.parts.get_mut(&(topic.clone(), partition))
    }

    /// Says whether a group reads a topic.
    pub(crate) fn is_read(&self, topic: &Topic) -> bool {
        self.topics.get(topic).is_some_and(|log| log.grouped)
    }

    /// Counts the records that some group has not settled.
    pub(crate) fn unsettled(&self) -> usize {
        let parts = self.groups.values().flat_map(|group| group.parts.values());
        parts.map(|part| part.unsettled.len()).sum()
    }

    /// Lists all records that were ever published.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Published> {
        let partitions = self.topics.values().flat_map(|log| &log.partitions);
        partitions.flatten()
    }

    /// Lists the records that still have to be processed: those that a group has not settled, and those in topics that no
    /// group reads, dead letters apart.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = &Published> {
        let unread = self.topics.iter().filter(|(topic, log)| {
            let letters = topic.as_str().ends_with(".dlt");
            !log.grouped && !letters
        });
        let unread = unread.flat_map(|(_, log)| log.partitions.iter().flatten());
        self.waiting().into_iter().chain(unread)
    }

    /// Lists the records that some group has not settled.
    pub(crate) fn waiting(&self) -> Vec<&Published> {
        let parts = self.groups.values().flat_map(|group| &group.parts);
        let spots = parts.flat_map(|((topic, partition), part)| {
            part.unsettled.keys().map(|offset| Spot {
                topic: topic.clone(),
                partition: *partition,
                offset: *offset,
            })
        });
        spots.filter_map(|spot| self.published(&spot)).collect()
    }

    pub(crate) fn published(&self, spot: &Spot) -> Option<&Published> {
        let log = self.topics.get(&spot.topic)?;
        log.partitions.get(spot.partition)?.get(spot.offset)
    }

    /// Returns when something changes by itself.
    pub(crate) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let parts = self.groups.values().flat_map(|group| group.parts.values());
        let records = parts.filter_map(|part| part.next_due(now));
        let observed = self
            .members
            .values()
            .filter_map(|member| member.next_due(now));
        let ends = self.members.values().filter_map(|member| member.expires);
        records.chain(observed).chain(ends).min()
    }
}
