use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher, Hasher};

use super::entry::Entry;

/// The keys that have a record which is ready, delivered, or released until a time, and the records behind it.
///
/// A key is known by its hash: two keys of one hash take turns, which is slower and as right. So a lane is small, and
/// finding it does not look at the key.
#[derive(Debug, Default)]
#[expect(
    clippy::box_collection,
    reason = "most lanes have nobody behind, and a box that is not there is a quarter of an empty queue"
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

    /// Gives the record back when it is the first of its lane, and keeps it behind the others when not.
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

    /// Gives the next of a lane, whose first is done.
    pub(super) fn leave(&mut self, lane: u64) -> Option<Entry> {
        let behind = self.behind.get_mut(&lane)?;
        let next = behind.as_mut().and_then(|behind| behind.pop_front());
        if next.is_none() {
            self.behind.remove(&lane);
            // Gives back what a rush of keys took.
            if self.behind.len() * 8 < self.behind.capacity() && self.behind.capacity() > 1024 {
                self.behind.shrink_to(self.behind.len() * 2);
            }
        }
        next
    }
}

/// Takes a hash for its own.
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
