use bytes::Bytes;
use kser_core::{Record, Timestamp, Topic};

use super::lanes::Lanes;

/// A record in a queue, without the topic, which the queue knows. It is as small as possible, because a million may wait.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) payload: Option<Bytes>,
    /// The parts that most records of a busy topic do not have.
    rare: Option<Box<Rare>>,
    pub(super) offset: i64,
    pub(super) published: Timestamp,
}

#[derive(Debug, Clone, Default)]
struct Rare {
    key: Option<Bytes>,
    /// The lane of the key.
    lane: u64,
    headers: Vec<(String, Option<Bytes>)>,
    crash_count: u32,
    failed: u32,
}

// BENCHMARKS.md has the memory of a waiting record.
const _: () = assert!(size_of::<Entry>() == 56);

impl Entry {
    pub(super) fn new(record: Record, offset: i64, published: Timestamp) -> Self {
        let Record {
            key,
            headers,
            payload,
            ..
        } = record;
        let rare = (key.is_some() || !headers.is_empty()).then(|| {
            Box::new(Rare {
                lane: key.as_deref().map_or(0, Lanes::of),
                key,
                headers,
                crash_count: 0,
                failed: 0,
            })
        });
        Self {
            payload,
            rare,
            offset,
            published,
        }
    }

    /// Returns the lane of its key, `None` when it has no key.
    pub(super) fn lane(&self) -> Option<u64> {
        let rare = self.rare.as_ref()?;
        rare.key.is_some().then_some(rare.lane)
    }

    pub(super) fn crash_count(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.crash_count)
    }

    /// Returns the number of attempts that had failed when the record was released.
    pub(super) fn failed(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.failed)
    }

    /// Sets the number of attempts that have failed.
    pub(super) fn set_failed(&mut self, failed: u32) {
        if failed > 0 || self.failed() > 0 {
            self.rare.get_or_insert_default().failed = failed;
        }
    }

    /// Counts a delivery that was neither settled nor released.
    pub(super) fn count_crash(&mut self) {
        let rare = self.rare.get_or_insert_default();
        rare.crash_count = rare.crash_count.saturating_add(1);
    }

    /// Returns the record as it was published.
    pub(super) fn record(&self, topic: &Topic) -> Record {
        let mut record = Record::new(topic.clone(), self.payload.clone());
        if let Some(rare) = &self.rare {
            record.key.clone_from(&rare.key);
            record.headers.clone_from(&rare.headers);
        }
        record
    }
}
