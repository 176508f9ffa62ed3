use std::task::Waker;

use kser_core::{Interest, Timestamp};

use super::super::deferred::Deferred;
use super::super::group::{Idle, Reader};
use super::{Member, State};

/// The members, from joining to leaving.
impl State {
    /// Adds a member, and returns its number.
    pub(in crate::transport) fn join(
        &mut self,
        interest: Interest,
        deferred: &mut Deferred,
    ) -> usize {
        let Interest {
            topics,
            group: name,
            instance,
            from,
            ..
        } = interest;
        let number = self.members.insert(Member {
            instance: instance.clone(),
            groups: Vec::new(),
            held: 0,
            waker: None,
            closing: None,
            superseded: false,
            revoked: Default::default(),
        });
        let mut groups: Vec<usize> = Vec::new();
        for topic in &topics {
            let stream = self.stream(topic);
            let group = match &name {
                Some(name) => self.named_group(stream, name),
                // An observer that names a topic twice receives its records once.
                None => match self.observed_by(stream, number) {
                    Some(group) => group,
                    None => self.add_observer(stream, from),
                },
            };
            if groups.contains(&group) {
                continue;
            }
            groups.push(group);
            // The new member joins first, so that the group does not end with the old one.
            if let Some(group) = self.groups.get_mut(group) {
                group.members.push(number);
            }
            if let Some(instance) = &instance {
                self.supersede(group, number, instance, deferred);
            }
        }
        if let Some(member) = self.members.get_mut(number) {
            member.groups = groups;
        }
        number
    }

    /// Leaves all groups of a member. Its deliveries go to other members, counted as crashes if the member crashed.
    pub(in crate::transport) fn leave(
        &mut self,
        number: usize,
        counted: bool,
        deferred: &mut Deferred,
    ) {
        let Some(member) = self.members.get_mut(number) else {
            return;
        };
        let groups = std::mem::take(&mut member.groups);
        let revoked = member.revoked.clone();
        member.held = 0;
        member.waker = None;
        let mut held = false;
        for id in groups {
            let Some(group) = self.groups.get_mut(id) else {
                continue;
            };
            held |= group.take_back(number, counted);
            group.members.retain(|member| *member != number);
            group.idle.retain(|idle| idle.member != number);
            if group.members.is_empty() {
                self.left_by_all(id, deferred);
            }
            self.wake_one(id, deferred);
        }
        if held {
            deferred.revoked.push(revoked);
        }
    }

    /// Parks a member that waits for a record, and returns the time at which it should look again without a wake-up.
    pub(in crate::transport) fn park(&mut self, number: usize, waker: &Waker) -> Option<Timestamp> {
        let member = self.members.get_mut(number)?;
        member.waker = Some(waker.clone());
        let member = self.members.get(number)?;
        let groups = member.groups.iter();
        let due = groups.filter_map(|group| self.groups.get(*group)?.next_due());
        let until = due.min();
        for group in &member.groups {
            if let Some(group) = self.groups.get_mut(*group) {
                group.idle.retain(|idle| idle.member != number);
                group.idle.push_back(Idle {
                    member: number,
                    until,
                });
            }
        }
        until
    }

    /// Unparks a member, and passes a wake-up that it may have got on to another.
    pub(in crate::transport) fn unpark(&mut self, number: usize, deferred: &mut Deferred) {
        let Some(member) = self.members.get_mut(number) else {
            return;
        };
        member.waker = None;
        for group in &member.groups {
            if let Some(group) = self.groups.get_mut(*group) {
                group.idle.retain(|idle| idle.member != number);
            }
        }
        self.pass_on(number, deferred);
    }

    /// Wakes another member of each group that still has a record.
    fn pass_on(&mut self, number: usize, deferred: &mut Deferred) {
        let groups = self.members.get(number).map_or(0, |m| m.groups.len());
        for place in 0..groups {
            let member = self.members.get(number);
            if let Some(group) = member.and_then(|member| member.groups.get(place).copied()) {
                self.wake_one(group, deferred);
            }
        }
    }

    /// Ends the membership of the member with the same instance: it was restarted, or there are two of them.
    fn supersede(&mut self, group: usize, by: usize, instance: &str, deferred: &mut Deferred) {
        let members = self.groups.get(group).map(|group| &group.members);
        let members = members.into_iter().flatten().copied();
        let mut members = members.filter(|member| *member != by);
        let namesake = members.find(|member| {
            let member = self.members.get(*member);
            member.is_some_and(|member| member.instance.as_deref() == Some(instance))
        });
        let Some(number) = namesake else {
            return;
        };
        if let Some(member) = self.members.get_mut(number) {
            member.superseded = true;
            deferred.wakers.extend(member.waker.take());
            deferred.wakers.extend(member.closing.take());
        }
        self.leave(number, true, deferred);
    }

    /// Removes a group without members that no member will join again.
    fn left_by_all(&mut self, id: usize, deferred: &mut Deferred) {
        let Some(group) = self.groups.get(id) else {
            return;
        };
        let Some(stream) = self.names.get(&group.topic).copied() else {
            return;
        };
        if group.reader == Reader::Observer || !self.streams[stream].kept {
            self.forget_group(stream, id, deferred);
        }
    }

    /// Adds an observer of a topic, which gets the recent records since `from` first.
    fn add_observer(&mut self, stream: usize, from: Option<Timestamp>) -> usize {
        let number = self.add_reader(stream, Reader::Observer);
        if let (Some(from), Some(group)) = (from, self.groups.get_mut(number)) {
            for entry in self.streams[stream].recent.since(from) {
                group.publish(entry, None);
            }
        }
        number
    }

    fn observed_by(&self, stream: usize, member: usize) -> Option<usize> {
        let mut readers = self.streams[stream].readers.iter().copied();
        readers.find(|reader| {
            let group = self.groups.get(*reader);
            group.is_some_and(|group| {
                group.reader == Reader::Observer && group.members.contains(&member)
            })
        })
    }
}
