use std::collections::BTreeMap;
use std::time::Duration;

use kser_core::{Interest, Timestamp, Topic};

use super::super::InjectedBug;
use super::{Broker, MemberId, PartitionState, Published, RecordState, Spot, Unsettled};

/// A member of a group, or an observer.
#[derive(Debug)]
pub(crate) struct Member {
    /// `None` for an observer.
    pub(crate) group: Option<String>,
    pub(crate) topics: Vec<Topic>,
    instance: Option<String>,
    /// The moment when the session of a silent member expires; `None` while the member is heard of.
    pub(super) expires: Option<Timestamp>,
    pub(crate) superseded: bool,
    /// The records that an observer has not received, with their delays.
    unseen: BTreeMap<Spot, Option<Timestamp>>,
    /// The order in which these records were published.
    arrived: Vec<Spot>,
    /// The records that an observer has received and not settled, by the serials of their deliveries.
    seen: BTreeMap<u64, Spot>,
}

impl Member {
    /// Notes a record for an observer.
    pub(super) fn observe(&mut self, spot: &Spot, record: &Unsettled) {
        if self.group.is_some() || !self.topics.contains(&spot.topic) {
            return;
        }
        let due = match record.stand {
            RecordState::Delayed(due) => Some(due),
            _ => None,
        };
        self.unseen.insert(spot.clone(), due);
        self.arrived.push(spot.clone());
    }

    /// Returns the next record for an observer.
    pub(super) fn observed(&self, now: Timestamp) -> Option<Spot> {
        let is_due = |spot: &&Spot| {
            let due = self.unseen.get(spot);
            due.is_some_and(|due| due.is_none_or(|due| due <= now))
        };
        self.arrived.iter().find(is_due).cloned()
    }

    pub(super) fn seen(&mut self, spot: &Spot, serial: u64) {
        self.unseen.remove(spot);
        self.arrived.retain(|arrived| arrived != spot);
        self.seen.insert(serial, spot.clone());
    }

    pub(super) fn has_seen(&self, serial: u64) -> bool {
        self.seen.contains_key(&serial)
    }

    pub(super) fn forget(&mut self, serial: u64) -> bool {
        self.seen.remove(&serial).is_some()
    }

    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let dues = self.unseen.values().flatten();
        dues.copied().filter(|due| *due > now).min()
    }
}

/// The members of groups, from joining to leaving, and the partitions that they own.
impl Broker {
    /// Adds a member. The member has its partitions when this returns.
    pub(crate) fn join(&mut self, interest: Interest) -> MemberId {
        self.joined += 1;
        let id = MemberId(self.joined);
        for topic in &interest.topics {
            self.ensure(topic, None, true);
        }
        let namesake = self.namesake(&interest);
        self.members.insert(
            id,
            Member {
                group: interest.group.clone(),
                topics: interest.topics.clone(),
                instance: interest.instance.clone(),
                expires: None,
                superseded: false,
                unseen: BTreeMap::new(),
                arrived: Vec::new(),
                seen: BTreeMap::new(),
            },
        );
        if let Some(name) = &interest.group {
            for topic in &interest.topics {
                self.read(name, topic);
            }
            self.groups
                .entry(name.clone())
                .or_default()
                .members
                .push(id);
            if let Some(namesake) = namesake {
                self.part_from(namesake, false);
                if let Some(member) = self.members.get_mut(&namesake) {
                    member.superseded = true;
                }
            }
            self.assign(name, true);
        }
        id
    }

    fn namesake(&self, interest: &Interest) -> Option<MemberId> {
        let instance = interest.instance.as_ref()?;
        let mut members = self.members.iter();
        let found = members.find(|(_, member)| {
            member.group == interest.group
                && member.instance.as_ref() == Some(instance)
                && member.topics == interest.topics
        });
        found.map(|(id, _)| *id)
    }

    /// Has a group read a topic: the first group of the topic gets all records that waited.
    fn read(&mut self, group: &str, topic: &Topic) {
        let Some(log) = self.topics.get_mut(topic) else {
            return;
        };
        let first = !log.grouped && log.kept;
        log.grouped = true;
        let group = self.groups.entry(group.to_owned()).or_default();
        for (number, partition) in log.partitions.iter().enumerate() {
            group
                .parts
                .entry((topic.clone(), number))
                .or_insert_with(|| {
                    let records = partition.iter().enumerate().filter(|_| first);
                    let unsettled =
                        records.map(|(at, one)| (at, Unsettled::new(&one.record, one.at)));
                    PartitionState {
                        unsettled: unsettled.collect(),
                        ..PartitionState::default()
                    }
                });
        }
    }

    /// Removes a member that leaves its group, as on a graceful shutdown.
    pub(crate) fn leave(&mut self, id: MemberId) {
        self.part_from(id, true);
        self.members.remove(&id);
    }

    /// Notes that a member is silent, as after a crash: the broker removes it when its session expires, an observer at once.
    pub(crate) fn vanish(&mut self, id: MemberId, now: Timestamp) {
        let session = self.setup.session;
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        match member.group.is_none() || member.superseded {
            true => {
                self.members.remove(&id);
            }
            false => member.expires = Some(now + session),
        }
        self.expire(now);
    }

    /// Removes the members whose sessions have expired. Says whether there were any.
    pub(crate) fn expire(&mut self, now: Timestamp) -> bool {
        let members = self.members.iter();
        let dead = members.filter(|(_, member)| member.expires.is_some_and(|at| at <= now));
        let dead: Vec<MemberId> = dead.map(|(id, _)| *id).collect();
        for id in &dead {
            self.part_from(*id, false);
            self.members.remove(id);
        }
        !dead.is_empty()
    }

    /// Notes that a silent member is back before its session expired.
    pub(crate) fn is_back(&mut self, id: MemberId) {
        let member = self.members.get_mut(&id);
        let group = member.and_then(|member| {
            member.expires = None;
            member.group.clone()
        });
        if let Some(group) = group {
            self.assign(&group, true);
        }
    }

    /// Moves the partitions of a group's members on by one.
    pub(crate) fn rebalance(&mut self) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            if let Some(group) = self.groups.get_mut(&name) {
                group.turned += 1;
            }
            self.assign(&name, true);
        }
    }

    /// Counts the rebalances of all groups.
    pub(crate) fn generation(&self) -> u64 {
        self.groups.values().map(|group| group.generation).sum()
    }

    pub(crate) fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// Says whether a member holds deliveries that it has not settled.
    pub(crate) fn holds(&self, id: MemberId) -> bool {
        let parts = self.groups.values().flat_map(|group| group.parts.values());
        let mut his = parts.filter(|part| part.owner == Some(id));
        his.any(PartitionState::holds)
            || self
                .members
                .get(&id)
                .is_some_and(|member| !member.seen.is_empty())
    }

    /// Lists the records of their partitions that these members hold.
    pub(crate) fn held_by(&self, members: &[MemberId]) -> Vec<&Published> {
        let parts = self.groups.values().flat_map(|group| &group.parts);
        let theirs =
            parts.filter(|(_, part)| part.owner.is_some_and(|owner| members.contains(&owner)));
        let spots = theirs.flat_map(|((topic, partition), part)| {
            part.held().map(|offset| Spot {
                topic: topic.clone(),
                partition: *partition,
                offset,
            })
        });
        spots.filter_map(|spot| self.published(&spot)).collect()
    }

    /// Lists the partitions of a member, and how many records wait in them.
    pub(crate) fn assigned(&self, id: MemberId) -> Vec<(Topic, usize, usize)> {
        let parts = self.groups.values().flat_map(|group| &group.parts);
        let his = parts.filter(|(_, part)| part.owner == Some(id));
        let told = his.map(|((topic, number), part)| {
            let waiting = part.unsettled.values();
            let waiting = waiting.filter(|one| !matches!(one.stand, RecordState::Held { .. }));
            (topic.clone(), *number, waiting.count())
        });
        told.collect()
    }

    /// Counts the deliveries that were taken back from members that held them.
    pub(crate) fn taken_back(&self) -> usize {
        let parts = self.groups.values().flat_map(|group| group.parts.values());
        parts.map(|part| part.taken_back).sum()
    }

    /// Returns how long the oldest unsettled record in the partitions of a member has waited.
    pub(crate) fn oldest_waiting(&self, id: MemberId, now: Timestamp) -> Option<Duration> {
        let parts = self.groups.values().flat_map(|group| &group.parts);
        let his = parts.filter(|(_, part)| part.owner == Some(id));
        let waits = his.filter_map(|((topic, partition), part)| {
            let spot = Spot {
                topic: topic.clone(),
                partition: *partition,
                offset: part.oldest(now)?,
            };
            Some(now.since(self.published(&spot)?.at))
        });
        waits.max()
    }

    fn part_from(&mut self, id: MemberId, goodbye: bool) {
        let group = self
            .members
            .get(&id)
            .and_then(|member| member.group.clone());
        let Some(name) = group else {
            return;
        };
        let forgets = self.setup.broken == Some(InjectedBug::NoRedelivery);
        if let Some(group) = self.groups.get_mut(&name) {
            group.members.retain(|member| *member != id);
            for part in group.parts.values_mut() {
                if part.owner == Some(id) {
                    if forgets {
                        part.forget();
                    }
                    part.take_back(goodbye);
                    part.owner = None;
                }
            }
        }
        self.assign(&name, true);
    }

    /// Assigns each partition to a member, and revokes the deliveries of a partition that goes to another member. While a
    /// member of the group is silent, the rebalance waits until its session expires.
    fn assign(&mut self, name: &str, goodbye: bool) {
        let Some(group) = self.groups.get_mut(name) else {
            return;
        };
        let silent = |id: &MemberId| {
            let member = self.members.get(id);
            member.is_some_and(|member| member.expires.is_some())
        };
        if group.members.iter().any(silent) {
            return;
        }
        group.generation += 1;
        for ((topic, number), part) in &mut group.parts {
            let members = group.members.iter().filter(|id| {
                let member = self.members.get(id);
                member.is_some_and(|member| member.topics.contains(topic))
            });
            let members: Vec<MemberId> = members.copied().collect();
            let owner = match members.len() {
                0 => None,
                count => members.get((number + group.turned) % count).copied(),
            };
            if part.owner != owner {
                part.take_back(goodbye);
                part.owner = owner;
            }
        }
    }
}
