use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};

use super::entry::Entry;

/// The keys that have a record which is ready, delivered, or released until a time, with the records after it.
///
/// A key is stored as its hash, so that a lane is small and is found without the key. Two keys of one hash take turns,
/// which is slower and still in order.
#[derive(Debug, Default)]
#[expect(
    clippy::box_collection,
    reason = "most lanes have one record, and an absent box is a quarter of an empty queue"
)]
pub(super) struct Lanes {
    behind: HashMap<u64, Option<Box<VecDeque<Entry>>>, BuildHasherDefault<AsItIs>>,
}

impl Lanes {
    /// Returns the lane of a key.
    pub(super) fn of(key: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(key);
        hasher.finish()
    }

    /// Returns the record when it is the first of its lane; else keeps it after the others.
    pub(super) fn enter(&mut self, lane: u64, entry: Entry) -> Option<Entry> {
        match self.behind.get_mut(&lane) {
            Some(behind) => {
                behind.get_or_insert_default().push_back(entry);
                None
            }
            None => {
                self.behind.insert(lane, None);
                Some(entry)
            }
        }
    }

    /// Returns the next record of a lane whose first record is done.
    pub(super) fn leave(&mut self, lane: u64) -> Option<Entry> {
        let behind = self.behind.get_mut(&lane)?;
        let next = behind.as_mut().and_then(|behind| behind.pop_front());
        if next.is_none() {
            self.behind.remove(&lane);
            // Frees the memory of a burst of keys.
            if self.behind.len() * 8 < self.behind.capacity() && self.behind.capacity() > 1024 {
                self.behind.shrink_to(self.behind.len() * 2);
            }
        }
        next
    }

    /// Returns the records that wait for others of their keys, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        let behind = self.behind.values().flatten();
        behind.flat_map(|behind| behind.iter())
    }
}

/// A hasher that passes a hash through.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = Lanes::of(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
