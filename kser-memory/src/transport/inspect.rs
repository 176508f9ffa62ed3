use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use kser_core::{
    Error, GroupProgress, Inspect, RecordPlace, Room, Timestamp, Topic, UnsettledQuery,
    UnsettledRecord, UnsettledView,
};

use super::broker::Broker;
use super::entry::Entry;
use super::state::State;

/// The records that are looked for under one lock, at most.
const PAGE: usize = 1000;

/// Shows the topics and groups of a broker. A page of a view goes through all unsettled records of its group, while the broker is
/// locked.
#[derive(Debug)]
pub(super) struct MemoryInspect(pub(super) Arc<Broker>);

#[async_trait]
impl Inspect for MemoryInspect {
    async fn topics(&self) -> Result<Vec<Topic>, Error> {
        let topics = |state: &mut State| state.names.keys().cloned().collect();
        Ok(self.0.with(|state, _| topics(state)))
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        let groups = self.0.with(|state, _| {
            let streams = state.streams.iter();
            let names = streams.flat_map(|stream| stream.named.keys().cloned());
            names.collect::<BTreeSet<_>>()
        });
        Ok(groups.into_iter().collect())
    }

    async fn progress(&self, group: &str, topic: &Topic) -> Result<Vec<GroupProgress>, Error> {
        self.0.with(|state, _| {
            let number = number_of(state, topic)?;
            let end = state.streams[number].offset;
            let shown = state.shown_group(number, group);
            let offsets = shown.into_iter().flat_map(|group| group.unsettled());
            let (count, first) = offsets.fold((0, end), |(count, first), (entry, _)| {
                (count + 1, first.min(entry.offset))
            });
            let joined = state.streams[number].named.contains_key(group);
            let settled_below = (joined && first > 0).then_some(first);
            Ok(vec![GroupProgress::new(
                0,
                first,
                end,
                settled_below,
                count,
            )])
        })
    }

    async fn unsettled(&self, query: UnsettledQuery) -> Result<Box<dyn UnsettledView>, Error> {
        let end = self.0.with(|state, _| {
            let number = number_of(state, &query.topic)?;
            Ok::<_, Error>(state.streams[number].offset)
        })?;
        let after = match query.after {
            Some(place) if place.partition > 0 => end,
            Some(place) if place.partition == 0 => place.offset,
            _ => -1,
        };
        Ok(Box::new(MemoryView {
            broker: Arc::clone(&self.0),
            group: query.group,
            topic: query.topic,
            after,
            end,
        }))
    }
}

fn number_of(state: &State, topic: &Topic) -> Result<usize, Error> {
    let number = state.names.get(topic).copied();
    number.ok_or_else(|| Error::MissingTopic {
        topic: topic.as_str().to_owned(),
    })
}

/// A view of the unsettled records of a group.
#[derive(Debug)]
struct MemoryView {
    broker: Arc<Broker>,
    group: String,
    topic: Topic,
    /// The offset of the last record that was shown; -1 before the first.
    after: i64,
    /// The end of the topic when the view was opened.
    end: i64,
}

impl MemoryView {
    /// Returns the first unsettled records of the rest of the view.
    fn page(&self, state: &State, room: Room) -> Vec<UnsettledRecord> {
        let Some(number) = state.names.get(&self.topic) else {
            return Vec::new();
        };
        let most = room.records.min(PAGE);
        let mut first: BTreeMap<i64, (&Entry, Option<Timestamp>)> = BTreeMap::new();
        let group = state.shown_group(*number, &self.group);
        for (entry, due) in group.into_iter().flat_map(|group| group.unsettled()) {
            if entry.offset <= self.after || entry.offset >= self.end {
                continue;
            }
            first.insert(entry.offset, (entry, due));
            if first.len() > most {
                first.pop_last();
            }
        }
        let mut bytes = 0;
        let fits = |(entry, due): (&Entry, Option<Timestamp>)| {
            let mut record = entry.record(&self.topic);
            record.not_before = due;
            let is_full = bytes >= room.bytes;
            bytes += record.size();
            let place = RecordPlace {
                partition: 0,
                offset: entry.offset,
            };
            (!is_full).then(|| UnsettledRecord::new(place, record, Some(entry.published)))
        };
        first.into_values().map_while(fits).collect()
    }
}

#[async_trait]
impl UnsettledView for MemoryView {
    async fn next(&mut self, room: Room) -> Result<Vec<UnsettledRecord>, Error> {
        let broker = Arc::clone(&self.broker);
        let page = broker.with(|state, _| self.page(state, room));
        if let Some(last) = page.last() {
            self.after = last.place.offset;
        }
        Ok(page)
    }
}
