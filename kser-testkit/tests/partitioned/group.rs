//! Who shares the parts of topics.

use std::collections::BTreeMap;

use kser_core::Topic;
use tokio::time::Instant;

use crate::SESSION;
use crate::part::Part;

#[derive(Debug, Default)]
pub(crate) struct Group {
    members: BTreeMap<u64, Share>,
    pub(crate) parts: BTreeMap<(Topic, usize), Part>,
}

/// A member as the group sees it.
#[derive(Debug)]
struct Share {
    topics: Vec<Topic>,
    /// Since when nothing was heard of it.
    silent: Option<Instant>,
}

impl Group {
    /// Takes a member in, which knows how many parts each topic has.
    pub(crate) fn join(&mut self, member: u64, topics: Vec<(Topic, usize)>) {
        for (topic, count) in &topics {
            for index in 0..*count {
                self.parts.entry((topic.clone(), index)).or_default();
            }
        }
        let topics = topics.into_iter().map(|(topic, _)| topic).collect();
        let silent = None;
        self.members.insert(member, Share { topics, silent });
        self.assign();
    }

    pub(crate) fn leave(&mut self, member: u64) {
        self.members.remove(&member);
        self.assign();
    }

    /// A member says nothing more: that is noticed later.
    pub(crate) fn fall_silent(&mut self, member: u64) {
        if let Some(share) = self.members.get_mut(&member) {
            share.silent = Some(Instant::now());
        }
    }

    pub(crate) fn is_alive(&self, member: u64) -> bool {
        let share = self.members.get(&member);
        share.is_some_and(|share| share.silent.is_none())
    }

    /// Puts out who has said nothing for too long.
    pub(crate) fn expire(&mut self) {
        let over = |share: &Share| share.silent.is_some_and(|since| since.elapsed() >= SESSION);
        let dead = self.members.iter().filter(|(_, share)| over(share));
        let dead: Vec<u64> = dead.map(|(member, _)| *member).collect();
        for member in dead {
            let parts = self.parts.values_mut();
            parts
                .filter(|part| part.owner == Some(member))
                .for_each(Part::count_dead);
            self.leave(member);
        }
    }

    /// Deals the parts of each topic out to its members, one by one.
    fn assign(&mut self) {
        for ((topic, index), part) in &mut self.parts {
            let members = self.members.iter();
            let of_topic = members.filter(|(_, share)| share.topics.contains(topic));
            let of_topic: Vec<u64> = of_topic.map(|(member, _)| *member).collect();
            let owner = match of_topic.len() {
                0 => None,
                count => of_topic.get(index % count).copied(),
            };
            part.pass(owner);
        }
    }
}
