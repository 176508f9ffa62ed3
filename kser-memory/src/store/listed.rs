use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use kser_core::store::RunFilter;
use kser_core::{Error, Name, Status, Timestamp};

/// The place of a run in the order of the launches: its time, and its number.
type Place = (Timestamp, u64);

/// The runs of each operation and status, in the order of their launches, so that a page reads no other run.
#[derive(Debug, Default)]
pub(super) struct Listed(BTreeMap<Name, BTreeMap<Status, BTreeSet<Place>>>);

impl Listed {
    pub(super) fn insert(&mut self, name: &Name, status: Status, place: Place) {
        match self.0.get_mut(name) {
            Some(listed) => drop(listed.entry(status).or_default().insert(place)),
            None => {
                let listed = BTreeMap::from([(status, BTreeSet::from([place]))]);
                self.0.insert(name.clone(), listed);
            }
        }
    }

    /// Moves a run to its new status.
    pub(super) fn change(&mut self, name: &Name, (old, new): (Status, Status), place: Place) {
        if old != new
            && let Some(listed) = self.0.get_mut(name)
        {
            if let Some(places) = listed.get_mut(&old) {
                places.remove(&place);
            }
            listed.entry(new).or_default().insert(place);
        }
    }

    pub(super) fn remove(&mut self, name: &Name, status: Status, place: Place) {
        let Some(listed) = self.0.get_mut(name) else {
            return;
        };
        if let Some(places) = listed.get_mut(&status) {
            places.remove(&place);
        }
        if listed.values().all(BTreeSet::is_empty) {
            self.0.remove(name);
        }
    }

    /// Returns the places of the runs that fit a filter, the latest first, at most `limit`.
    pub(super) fn page(&self, filter: &RunFilter, limit: usize) -> Result<Vec<Place>, Error> {
        let end = filter.place()?;
        let mut ranges = self.ranges(filter, end);
        // The next place of each range: the largest is the next one of the list.
        let next = |(index, range): (usize, &mut Range<'_>)| Some((*range.next()?, index));
        let first = ranges.iter_mut().enumerate().filter_map(next);
        let mut heads: BinaryHeap<(Place, usize)> = first.collect();
        let mut page = Vec::new();
        while page.len() < limit
            && let Some((place, index)) = heads.pop()
        {
            page.push(place);
            let range = ranges.get_mut(index);
            heads.extend(range.and_then(Iterator::next).map(|place| (*place, index)));
        }
        Ok(page)
    }

    /// Counts the runs that fit a filter, but no more than `most`.
    pub(super) fn count(&self, filter: &RunFilter, most: usize) -> usize {
        let mut all = filter.clone();
        all.after = None;
        let Ok(end) = all.place() else {
            return 0;
        };
        let ranges = self.ranges(&all, end);
        ranges.into_iter().flatten().take(most).count()
    }

    /// Returns the places before `end` of each operation and status that a filter asks for, the latest first.
    fn ranges<'a>(&'a self, filter: &RunFilter, end: Place) -> Vec<Range<'a>> {
        let from = (filter.launched_from.unwrap_or_default(), 0);
        if from >= end {
            return Vec::new();
        }
        let statuses = filter.statuses();
        let listed: Vec<_> = match &filter.name {
            Some(name) => self.0.get(name).into_iter().collect(),
            None => self.0.values().collect(),
        };
        let places = listed
            .into_iter()
            .flat_map(|listed| statuses.iter().filter_map(|status| listed.get(status)));
        places.map(|places| places.range(from..end).rev()).collect()
    }
}

type Range<'a> = std::iter::Rev<std::collections::btree_set::Range<'a, Place>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64) -> Place {
        (Timestamp::from_millis(1_000 + number), number)
    }

    #[test]
    fn runs_of_many_operations_come_in_one_order() {
        let mut listed = Listed::default();
        for number in 0..100 {
            let name = format!("shop.{}", number % 7).into();
            listed.insert(&name, Status::Pending, place(number));
            if number % 3 == 0 {
                listed.change(&name, (Status::Pending, Status::Failed), place(number));
            }
        }
        let page = listed.page(&RunFilter::default(), 101).unwrap();
        let all: Vec<Place> = (0..100).rev().map(place).collect();
        assert_eq!(page, all);
        let failed = RunFilter::default().with_status(Status::Failed);
        let page = listed.page(&failed, 3).unwrap();
        assert_eq!(page, [99, 96, 93].map(place));
        assert_eq!(listed.count(&failed, 99), 34);
        assert_eq!(listed.count(&failed, 7), 7);
    }

    #[test]
    fn nothing_is_left_of_an_operation_without_runs() {
        let mut listed = Listed::default();
        let name = Name::from("shop.Order");
        listed.insert(&name, Status::Pending, place(1));
        listed.change(&name, (Status::Pending, Status::Success), place(1));
        listed.remove(&name, Status::Success, place(1));
        assert!(listed.0.is_empty());
    }

    #[test]
    fn a_time_that_ends_before_it_begins_has_no_run() {
        let mut listed = Listed::default();
        listed.insert(&"shop.Order".into(), Status::Pending, place(1));
        let at = |millis| Some(Timestamp::from_millis(millis));
        let filter = RunFilter::default().with_launched(at(2_000), at(1));
        assert_eq!(listed.page(&filter, 9).unwrap(), []);
        assert_eq!(listed.count(&filter, 9), 0);
    }
}
