use std::collections::VecDeque;

use kser_core::Timestamp;

use super::Entry;

/// The number of records that are remembered.
const RECORDS: usize = 1000;

/// The size of the records that are remembered, in bytes.
const BYTES: usize = 4 * 1024 * 1024;

/// The latest records of a topic that only observers read, for observers that ask for earlier records.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// The records, each with its size in bytes.
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
}

impl Recent {
    /// Remembers a record of this size, and forgets the oldest beyond the limits.
    pub(super) fn push(&mut self, entry: Entry, size: usize) {
        self.bytes += size;
        self.entries.push_back((entry, size));
        while self.entries.len() > RECORDS || self.bytes > BYTES {
            let Some((_, size)) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= size;
        }
    }

    /// Returns the records that were published since then, in order.
    pub(super) fn since(&self, from: Timestamp) -> impl Iterator<Item = Entry> {
        let entries = self.entries.iter().map(|(entry, _)| entry);
        entries
            .filter(move |entry| entry.published >= from)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use kser_core::{Record, Topic};

    use super::*;

    #[test]
    fn the_latest_records_are_remembered_within_the_limits() {
        let topic = Topic::new("events").unwrap();
        let entry = |bytes, at: u32| {
            let record = Record::new(topic.clone(), Some(vec![0; bytes].into()));
            let now = Timestamp::from_millis(u64::from(at));
            (Entry::new(record, i64::from(at), now), bytes)
        };
        let mut recent = Recent::default();
        for second in 0..1200 {
            let (entry, size) = entry(1, second);
            recent.push(entry, size);
        }
        let since = |recent: &Recent, from| -> Vec<i64> {
            let entries = recent.since(Timestamp::from_millis(from));
            entries.map(|entry| entry.offset).collect()
        };
        let all = since(&recent, 0);
        assert_eq!((all.len(), all[0]), (RECORDS, 200));
        assert_eq!(since(&recent, 1198), [1198, 1199]);
        let (entry, size) = entry(BYTES, 1200);
        recent.push(entry, size);
        assert_eq!(since(&recent, 0), [1200]);
    }
}
