use std::collections::VecDeque;

/// The number of removed entries that are kept in the middle at least, so that few removals move others.
const GAPS: usize = 64;

/// Values by offset. They arrive in the order of their offsets, and leave in about that order.
#[derive(Debug)]
pub(super) struct OffsetQueue<T> {
    /// In the order of the offsets. A value that was removed from the middle leaves a gap.
    entries: VecDeque<(i64, Option<T>)>,
    len: usize,
}

impl<T> OffsetQueue<T> {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            len: 0,
        }
    }

    /// Inserts a value, or replaces the one at its offset.
    pub(super) fn insert(&mut self, offset: i64, value: T) {
        if self.entries.back().is_none_or(|(last, _)| *last < offset) {
            self.entries.push_back((offset, Some(value)));
            self.len += 1;
            return;
        }
        match self.position(offset) {
            Ok(at) => {
                if let Some((_, entry)) = self.entries.get_mut(at) {
                    self.len += usize::from(entry.replace(value).is_none());
                }
            }
            Err(at) => {
                self.entries.insert(at, (offset, Some(value)));
                self.len += 1;
            }
        }
    }

    pub(super) fn get(&self, offset: i64) -> Option<&T> {
        let at = self.position(offset).ok()?;
        self.entries.get(at)?.1.as_ref()
    }

    pub(super) fn get_mut(&mut self, offset: i64) -> Option<&mut T> {
        let at = self.position(offset).ok()?;
        self.entries.get_mut(at)?.1.as_mut()
    }

    pub(super) fn remove(&mut self, offset: i64) -> Option<T> {
        let at = self.position(offset).ok()?;
        let value = self.entries.get_mut(at)?.1.take()?;
        self.len -= 1;
        while self
            .entries
            .front()
            .is_some_and(|(_, entry)| entry.is_none())
        {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.len + GAPS {
            self.entries.retain(|(_, entry)| entry.is_some());
        }
        Some(value)
    }

    /// Lists the offsets and their values, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &T)> {
        let entries = self.entries.iter();
        entries.filter_map(|(offset, entry)| Some((*offset, entry.as_ref()?)))
    }

    /// Lists the values in the order of their offsets.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    /// Returns the place of an offset, or the place to insert it.
    fn position(&self, offset: i64) -> Result<usize, usize> {
        // Most offsets follow each other without a gap.
        let first = self.entries.front().map_or(offset, |(first, _)| *first);
        if let Ok(at) = usize::try_from(offset.saturating_sub(first))
            && self
                .entries
                .get(at)
                .is_some_and(|(found, _)| *found == offset)
        {
            return Ok(at);
        }
        self.entries
            .binary_search_by_key(&offset, |(found, _)| *found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_holds_the_same_as_a_map() {
        let (mut queue, mut map) = (OffsetQueue::new(), BTreeMap::new());
        let (mut seed, mut next) = (7_u64, 0_i64);
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = seed >> 33;
            let back = i64::try_from(random % 300).unwrap();
            match random % 7 {
                0..3 => {
                    // Offsets of transactions and of compacted logs have gaps.
                    next += 1 + i64::from(random % 11 == 0) * 5;
                    queue.insert(next, random);
                    map.insert(next, random);
                }
                3 => {
                    queue.insert(next - back, random);
                    map.insert(next - back, random);
                }
                _ => assert_eq!(queue.remove(next - back), map.remove(&(next - back))),
            }
            assert_eq!(queue.get(next - back), map.get(&(next - back)));
            assert_eq!(queue.len, map.len());
            assert!(queue.entries.len() <= 2 * map.len() + GAPS + 1);
        }
        let held: Vec<_> = queue.iter().collect();
        assert_eq!(
            held,
            map.iter()
                .map(|(at, value)| (*at, value))
                .collect::<Vec<_>>()
        );
    }
}
