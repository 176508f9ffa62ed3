use std::collections::BTreeMap;

use kser_core::{Topic, TopicSpec};

use super::super::deferred::Deferred;
use super::super::group::{Group, Reader};
use super::recent::Recent;
use super::{State, Stream};

/// The topics, and their groups.
impl State {
    /// Returns the index of a topic, and creates it if it does not exist.
    pub(in crate::transport) fn stream(&mut self, topic: &Topic) -> usize {
        if let Some(number) = self.names.get(topic) {
            return *number;
        }
        self.streams.push(Stream {
            topic: topic.clone(),
            kept: true,
            declared: false,
            offset: 0,
            named: BTreeMap::new(),
            readers: Vec::new(),
            recent: Recent::default(),
        });
        self.names.insert(topic.clone(), self.streams.len() - 1);
        self.streams.len() - 1
    }

    /// Applies the spec of a topic, unless one was applied before.
    pub(in crate::transport) fn declare(&mut self, spec: &TopicSpec, deferred: &mut Deferred) {
        let number = self.stream(&spec.topic);
        let stream = &mut self.streams[number];
        if stream.declared {
            return;
        }
        stream.declared = true;
        stream.kept = spec.kept;
        if let Some(early) = self.early(number).filter(|_| !spec.kept) {
            self.forget_group(number, early, deferred);
        }
    }

    /// Adds a group without members to a topic whose records are kept and that has no group, so that its records wait.
    pub(in crate::transport) fn ensure_reader(&mut self, number: usize) {
        let stream = &self.streams[number];
        if stream.kept && stream.named.is_empty() && self.early(number).is_none() {
            self.add_reader(number, Reader::Nobody);
        }
    }

    /// Returns the group of a name. The first group of a topic gets the records that waited.
    pub(in crate::transport) fn named_group(&mut self, number: usize, name: &str) -> usize {
        if let Some(group) = self.streams[number].named.get(name) {
            return *group;
        }
        let group = match self.early(number) {
            Some(early) => {
                if let Some(group) = self.groups.get_mut(early) {
                    group.reader = Reader::Members;
                }
                early
            }
            None => self.add_reader(number, Reader::Members),
        };
        let stream = &mut self.streams[number];
        stream.named.insert(name.to_owned(), group);
        group
    }

    /// Adds a group that gets the records from now on.
    pub(in crate::transport) fn add_reader(&mut self, number: usize, reader: Reader) -> usize {
        let topic = self.streams[number].topic.clone();
        let group = self.groups.insert(Group::new(topic, reader));
        self.streams[number].readers.push(group);
        group
    }

    pub(in crate::transport) fn forget_group(
        &mut self,
        number: usize,
        group: usize,
        deferred: &mut Deferred,
    ) {
        let stream = &mut self.streams[number];
        stream.readers.retain(|reader| *reader != group);
        stream.named.retain(|_, named| *named != group);
        deferred.groups.extend(self.groups.try_remove(group));
    }

    /// Says whether the records of a topic wait for its first group.
    pub(in crate::transport) fn is_unread(&self, topic: &Topic) -> bool {
        let early = self.names.get(topic).and_then(|number| self.early(*number));
        let group = early.and_then(|early| self.groups.get(early));
        group.is_some_and(|group| group.waiting() > 0)
    }

    /// Returns the group of a name, or that which keeps the records for the first group.
    pub(in crate::transport) fn shown_group(&self, number: usize, name: &str) -> Option<&Group> {
        let named = self.streams[number].named.get(name).copied();
        self.groups.get(named.or_else(|| self.early(number))?)
    }

    fn early(&self, number: usize) -> Option<usize> {
        let nobody = |reader: &&usize| {
            let group = self.groups.get(**reader);
            group.is_some_and(|group| group.reader == Reader::Nobody)
        };
        self.streams[number].readers.iter().find(nobody).copied()
    }
}
