use std::collections::BTreeMap;
use std::ops::Range;

/// A set of offsets, stored as intervals. Offsets are added at the end, and removed anywhere.
///
/// The last interval is stored apart: records that arrive and end in order, as nearly all do, touch nothing else.
#[derive(Debug, Clone, Default)]
pub(super) struct OffsetSet {
    /// The other intervals, all below the last: last offset to first offset, so that the front of an interval changes in place.
    earlier: BTreeMap<i64, i64>,
    last: Range<i64>,
    len: usize,
}

impl OffsetSet {
    /// Adds an offset, which must be above all offsets that were ever added.
    pub(super) fn push(&mut self, offset: i64) {
        if self.last.is_empty() {
            self.last = offset..offset;
        } else if self.last.end != offset {
            self.earlier.insert(self.last.end - 1, self.last.start);
            self.last = offset..offset;
        }
        self.last.end = offset.saturating_add(1);
        self.len += 1;
    }

    /// Removes an offset. Returns `false` if the set does not contain it.
    pub(super) fn remove(&mut self, offset: i64) -> bool {
        let removed = if self.last.contains(&offset) {
            self.remove_from_last(offset);
            true
        } else {
            self.remove_from_earlier(offset)
        };
        self.len -= usize::from(removed);
        removed
    }

    fn remove_from_last(&mut self, offset: i64) {
        if offset > self.last.start {
            if offset + 1 == self.last.end {
                self.last.end = offset;
                return;
            }
            self.earlier.insert(offset - 1, self.last.start);
        }
        self.last.start = offset + 1;
    }

    fn remove_from_earlier(&mut self, offset: i64) -> bool {
        let Some((&last, first)) = self.earlier.range_mut(offset..).next() else {
            return false;
        };
        if offset < *first {
            return false;
        }
        let before = *first;
        *first = offset + 1;
        if offset == last {
            self.earlier.remove(&last);
        }
        if before < offset {
            self.earlier.insert(offset - 1, before);
        }
        true
    }

    pub(super) fn contains(&self, offset: i64) -> bool {
        let earlier = || self.earlier.range(offset..).next();
        self.last.contains(&offset) || earlier().is_some_and(|(_, first)| *first <= offset)
    }

    pub(super) fn first(&self) -> Option<i64> {
        let earlier = self.earlier.first_key_value().map(|(_, first)| *first);
        earlier.or_else(|| (!self.last.is_empty()).then_some(self.last.start))
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the number of intervals.
    pub(super) fn n_intervals(&self) -> usize {
        self.earlier.len() + usize::from(!self.last.is_empty())
    }

    /// Returns the intervals in order.
    pub(super) fn intervals(&self) -> impl Iterator<Item = Range<i64>> {
        let earlier = self.earlier.iter().map(|(last, first)| *first..last + 1);
        let last = (!self.last.is_empty()).then(|| self.last.clone());
        earlier.chain(last)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_set_of_offsets(steps in prop::collection::vec((0..3_u8, 1..4_i64, 0..40_i64), 1..120)) {
            let (mut set, mut model, mut end) = (OffsetSet::default(), BTreeSet::new(), 0);
            for (what, gap, below) in steps {
                if what == 0 {
                    prop_assert_eq!(set.remove(end - below), model.remove(&(end - below)));
                } else {
                    end += if what == 1 { 1 } else { gap };
                    set.push(end);
                    model.insert(end);
                }
                let all: Vec<i64> = set.intervals().flatten().collect();
                prop_assert_eq!(all, model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!((set.len(), set.first()), (model.len(), model.first().copied()));
                prop_assert_eq!(set.contains(end - below), model.contains(&(end - below)));
                prop_assert_eq!(set.n_intervals(), set.intervals().count());
                let whole: Vec<Range<i64>> = set.intervals().collect();
                prop_assert!(whole.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }
    }
}
