use std::sync::Arc;

use kser_core::{Cancellation, Error, Record, Timestamp};

use super::super::InjectedBug;
use super::super::labels::Decoded;
use super::super::trace::Hash;
use super::{Broker, MemberId, Published, RecordState, Spot, Unsettled};

/// The decoded content of a record, and its label.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// The content, which is decoded once.
    pub(crate) decoded: Decoded,
    /// The label of the task, step or run event in the record.
    pub(crate) label: Arc<str>,
}

/// A record that is given to a member.
#[derive(Debug)]
pub(crate) struct GivenRecord {
    pub(crate) record: Record,
    pub(crate) label: Arc<str>,
    pub(crate) serial: u64,
    pub(crate) crash_count: u32,
    pub(crate) failed: u32,
    pub(crate) revoked: Cancellation,
}

/// How far a group is in a partition: behind the last record before which all are done.
#[derive(Debug)]
pub(crate) struct CommitMove {
    /// The record that is done now.
    pub(crate) spot: Spot,
    pub(crate) before: usize,
    pub(crate) after: usize,
}

/// Publishing, delivering and settling.
impl Broker {
    /// Refuses a record that is too large.
    pub(crate) fn fits(&self, record: &Record) -> Result<(), Error> {
        let (size, limit) = (record.size(), self.setup.largest_record);
        match size > limit {
            true => Err(Error::TooLarge {
                what: "bytes of the record".into(),
                size,
                limit,
            }),
            false => Ok(()),
        }
    }

    /// Returns the number that the next record gets: it counts all.
    pub(crate) const fn next_number(&self) -> u64 {
        self.count + 1
    }

    /// Counts the records that were [repeated](Self::repeat).
    pub(crate) const fn repeated(&self) -> usize {
        self.repeated
    }

    /// Appends a record.
    pub(crate) fn publish(&mut self, record: Record, content: Content, now: Timestamp) {
        let topic = record.topic.clone();
        self.ensure(&topic, None, true);
        let partition = self.partition_of(&record);
        let waiting = Unsettled::new(&record, now);
        self.count += 1;
        let number = self.count;
        let Some(log) = self.topics.get_mut(&topic) else {
            return;
        };
        let offset = log.partitions[partition].len();
        log.partitions[partition].push(Published {
            record,
            decoded: content.decoded,
            label: content.label,
            at: now,
            number,
        });
        let spot = Spot {
            topic,
            partition,
            offset,
        };
        for group in self.groups.values_mut() {
            if let Some(part) = group.parts.get_mut(&(spot.topic.clone(), partition)) {
                part.unsettled.insert(offset, waiting.clone());
            }
        }
        for member in self.members.values_mut() {
            member.observe(&spot, &waiting);
        }
    }

    /// Records of one key are in one partition; those without are spread.
    fn partition_of(&mut self, record: &Record) -> usize {
        let Some(log) = self.topics.get_mut(&record.topic) else {
            return 0;
        };
        let count = log.partitions.len();
        match &record.key {
            Some(key) => {
                let mut hash = Hash::default();
                hash.write(key);
                usize::try_from((hash.value() >> 32) % count as u64).unwrap_or_default()
            }
            None => {
                log.turn += 1;
                (log.turn - 1) % count
            }
        }
    }

    /// Lists the records that a member may be given now: the next of each of its partitions.
    pub(crate) fn offers(&self, member: MemberId, now: Timestamp) -> impl Iterator<Item = Spot> {
        let known = self.members.get(&member);
        let group = known.and_then(|known| self.groups.get(known.group.as_ref()?));
        let observer = known.filter(|known| known.group.is_none());
        let parts = group.into_iter().flat_map(|group| &group.parts);
        let owned = parts.filter(move |(_, part)| part.owner == Some(member));
        let next = owned.filter_map(move |((topic, partition), part)| {
            let offset = part.ready(now).next()?;
            Some(Spot {
                topic: topic.clone(),
                partition: *partition,
                offset,
            })
        });
        let observed = observer.and_then(|known| known.observed(now));
        observed.into_iter().chain(next)
    }

    /// Lists the records that a member can run now: the first in each of its partitions that no record of its key precedes.
    pub(crate) fn healthy(&self, member: MemberId, now: Timestamp) -> Vec<Spot> {
        let known = self.members.get(&member);
        let group = known.and_then(|known| self.groups.get(known.group.as_ref()?));
        let parts = group.into_iter().flat_map(|group| &group.parts);
        let owned = parts.filter(|(_, part)| part.owner == Some(member));
        let next = owned.filter_map(|((topic, partition), part)| {
            Some(Spot {
                topic: topic.clone(),
                partition: *partition,
                offset: part.healthy(now)?,
            })
        });
        next.collect()
    }

    /// Says whether there is a record that a member may be given now.
    pub(crate) fn has_offer(&self, member: MemberId, now: Timestamp) -> bool {
        self.offers(member, now).next().is_some()
    }

    /// Gives a record that was offered to a member.
    pub(crate) fn give(&mut self, member: MemberId, spot: &Spot) -> Option<GivenRecord> {
        let published = self.published(spot)?;
        let (record, label) = (published.record.clone(), Arc::clone(&published.label));
        self.serial += 1;
        let serial = self.serial;
        let known = self.members.get_mut(&member)?;
        let Some(group) = known.group.clone() else {
            known.seen(spot, serial);
            return Some(GivenRecord {
                record,
                label,
                serial,
                crash_count: 0,
                failed: 0,
                revoked: Cancellation::default(),
            });
        };
        let part = self.part_mut(&group, &spot.topic, spot.partition)?;
        let revoked = part.revoked.clone();
        let unsettled = part.unsettled.get_mut(&spot.offset)?;
        unsettled.stand = RecordState::Held {
            serial,
            begun: false,
        };
        let (crash_count, failed) = (unsettled.crash_count, unsettled.failed);
        self.held.insert(serial, (group, spot.clone()));
        Some(GivenRecord {
            record,
            label,
            serial,
            crash_count,
            failed,
            revoked,
        })
    }

    /// Commits a delivery. Returns the position of its group in the partition, before and after, if it has a group; `None`
    /// when the member no longer owns the delivery.
    pub(crate) fn commit(&mut self, serial: u64) -> Option<Option<CommitMove>> {
        if self.observed_by(serial) {
            return Some(None);
        }
        let broken = self.setup.broken;
        let (group, spot) = match broken {
            Some(InjectedBug::NoFencing) => self.held.get(&serial).cloned(),
            _ => self.ours(serial),
        }?;
        self.held.remove(&serial);
        let end = self.topics.get(&spot.topic)?.partitions[spot.partition].len();
        let part = self.part_mut(&group, &spot.topic, spot.partition)?;
        let before = part.position(end);
        let done = part.unsettled.remove(&spot.offset);
        match broken {
            // As a transport that keeps nothing but the latest offset.
            Some(InjectedBug::CommitsPast) => {
                part.unsettled = part.unsettled.split_off(&spot.offset);
            }
            // As a transport whose commits overtake each other.
            Some(InjectedBug::CommitsBack) if spot.offset > 0 => {
                part.unsettled.extend(done.map(|done| (0, done.again())));
            }
            _ => {}
        }
        let after = part.position(end);
        Some(Some(CommitMove {
            spot,
            before,
            after,
        }))
    }

    /// Returns the record of a delivery that its member still owns.
    pub(crate) fn published_of(&self, serial: u64) -> Option<Published> {
        let (_, spot) = self.ours(serial)?;
        self.published(&spot).cloned()
    }

    /// Says whether a delivery may still be settled.
    pub(crate) fn is_ours(&self, serial: u64) -> bool {
        self.ours(serial).is_some() || self.members.values().any(|member| member.has_seen(serial))
    }

    /// Notes that a delivery is about to run. Returns `false` when the member no longer owns the delivery.
    pub(crate) fn begin(&mut self, serial: u64) -> bool {
        let Some((group, spot)) = self.ours(serial) else {
            return false;
        };
        let part = self.part_mut(&group, &spot.topic, spot.partition);
        if let Some(record) = part.and_then(|part| part.unsettled.get_mut(&spot.offset)) {
            record.stand = RecordState::Held {
                serial,
                begun: true,
            };
        }
        true
    }

    /// Releases a delivery, to be redelivered. Does nothing when the member no longer owns the delivery.
    pub(crate) fn release(&mut self, serial: u64, not_before: Option<Timestamp>, failed: u32) {
        if self.observed_by(serial) {
            return;
        }
        let Some((group, spot)) = self.ours(serial) else {
            return;
        };
        self.held.remove(&serial);
        let part = self.part_mut(&group, &spot.topic, spot.partition);
        if let Some(record) = part.and_then(|part| part.unsettled.get_mut(&spot.offset)) {
            record.failed = failed;
            record.stand = match not_before {
                Some(due) => RecordState::Released(due),
                None => RecordState::Ready,
            };
        }
    }

    fn ours(&self, serial: u64) -> Option<(String, Spot)> {
        let (group, spot) = self.held.get(&serial)?;
        let part = self.part(group, &spot.topic, spot.partition)?;
        let record = part.unsettled.get(&spot.offset)?;
        let held = matches!(record.stand, RecordState::Held { serial: by, .. } if by == serial);
        held.then(|| (group.clone(), spot.clone()))
    }

    fn observed_by(&mut self, serial: u64) -> bool {
        let mut members = self.members.values_mut();
        members.any(|member| member.forget(serial))
    }

    /// Publishes a record again as it is, as a producer that tries again does.
    pub(crate) fn repeat(&mut self, spot: &Spot, now: Timestamp) {
        self.repeated += 1;
        if let Some(published) = self.published(spot).cloned() {
            let Published {
                record,
                decoded,
                label,
                ..
            } = published;
            self.publish(record, Content { decoded, label }, now);
        }
    }

    /// Holds a record back until a time.
    pub(crate) fn delay(&mut self, spot: &Spot, until: Timestamp) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for group in names {
            let part = self.part_mut(&group, &spot.topic, spot.partition);
            if let Some(record) = part.and_then(|part| part.unsettled.get_mut(&spot.offset)) {
                record.stand = RecordState::Released(until);
            }
        }
    }
}
