use std::collections::{HashMap, VecDeque};

use kser_core::store::{TOMBSTONE_KEPT, Tombstone};
use kser_core::{RunId, Timestamp};

/// The most tombstones that are kept, so that a program that runs for long does not grow.
const MOST: usize = 100_000;

/// The rests of the runs that were purged.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// Looked up by id only, so that its order has no effect.
    kept: HashMap<RunId, Tombstone>,
    /// The ids with the times of their purges, the earliest first. A run that was inserted again may still be here.
    order: VecDeque<(Timestamp, RunId)>,
}

impl Tombstones {
    pub(super) fn get(&self, id: &RunId) -> Option<&Tombstone> {
        self.kept.get(id)
    }

    /// Keeps the rest of a run, and removes those that are old or too many.
    pub(super) fn insert(&mut self, id: RunId, tombstone: Tombstone) {
        let now = tombstone.purged;
        self.order.push_back((now, id.clone()));
        self.kept.insert(id, tombstone);
        while let Some((purged, _)) = self.order.front()
            && (self.order.len() > MOST || *purged + TOMBSTONE_KEPT < now)
        {
            let Some((purged, id)) = self.order.pop_front() else {
                return;
            };
            if self.kept.get(&id).is_some_and(|kept| kept.purged == purged) {
                self.kept.remove(&id);
            }
        }
    }

    pub(super) fn remove(&mut self, id: &RunId) {
        self.kept.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use kser_core::Status;

    use super::*;

    fn purge(tombstones: &mut Tombstones, id: &str, at: u64) {
        let at = Timestamp::from_millis(at);
        let tombstone = Tombstone::new("test.Run".into(), String::new(), Status::Success, at);
        tombstones.insert(id.into(), tombstone);
    }

    #[test]
    fn old_ones_are_removed_and_no_earlier() {
        let kept = u64::try_from(TOMBSTONE_KEPT.as_millis()).unwrap();
        let mut tombstones = Tombstones::default();
        purge(&mut tombstones, "first", 0);
        purge(&mut tombstones, "second", kept);
        assert!(tombstones.get(&"first".into()).is_some(), "14 days later");
        purge(&mut tombstones, "third", kept + 1);
        assert!(tombstones.get(&"first".into()).is_none());
        assert!(tombstones.get(&"second".into()).is_some());
    }

    #[test]
    fn the_earliest_beyond_the_most_are_removed() {
        let mut tombstones = Tombstones::default();
        purge(&mut tombstones, "again", 0);
        for number in 1..MOST {
            purge(&mut tombstones, &number.to_string(), 0);
        }
        tombstones.remove(&"again".into());
        purge(&mut tombstones, "again", 1);
        assert!(
            tombstones.get(&"again".into()).is_some(),
            "its second purge is a late one"
        );
        purge(&mut tombstones, "last", 1);
        assert!(tombstones.get(&"1".into()).is_none());
        assert!(tombstones.get(&"2".into()).is_some());
        assert!(tombstones.order.len() <= MOST && tombstones.kept.len() <= MOST);
    }
}
