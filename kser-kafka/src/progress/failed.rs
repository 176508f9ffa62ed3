//! How often attempts at records failed that were given back: what their next delivery is told.

use std::collections::BTreeMap;

use super::varint;

/// The failed attempts of records, by offset. One without any is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Failed(BTreeMap<i64, u32>);

impl Failed {
    pub(super) fn of(&self, offset: i64) -> u32 {
        self.0.get(&offset).copied().unwrap_or_default()
    }

    /// Notes how often attempts at a record failed. `false` when that is known.
    pub(super) fn note(&mut self, offset: i64, failed: u32) -> bool {
        let before = match failed {
            0 => self.0.remove(&offset),
            _ => self.0.insert(offset, failed),
        };
        before.unwrap_or_default() != failed
    }

    /// Forgets records below this: they are done, or never were.
    pub(super) fn forget_below(&mut self, base: i64) {
        if self
            .0
            .first_key_value()
            .is_some_and(|(first, _)| *first < base)
        {
            self.0 = self.0.split_off(&base);
        }
    }

    /// Forgets records from this offset on: the log holds others there.
    pub(super) fn cut(&mut self, end: i64) {
        drop(self.0.split_off(&end));
    }

    /// Writes those that fit into `room` bytes, from the lowest offset on: their number, and for each the offsets between it
    /// and the one before, and its count. Nothing if none fits.
    pub(super) fn write(&self, base: i64, room: usize) -> Vec<u8> {
        let (mut entries, mut count, mut at) = (Vec::new(), 0, base);
        let room = room.saturating_sub(varint::LONGEST);
        for (&offset, &failed) in self.0.range(base..) {
            let len = entries.len();
            varint::write(offset.abs_diff(at), &mut entries);
            varint::write(failed.into(), &mut entries);
            if entries.len() > room {
                entries.truncate(len);
                break;
            }
            (count, at) = (count + 1, offset);
        }
        let mut bytes = Vec::new();
        if count > 0 {
            varint::write(count, &mut bytes);
            bytes.append(&mut entries);
        }
        bytes
    }

    /// Takes what [`write`](Self::write) wrote off the front. `None` for anything else.
    pub(super) fn read(base: i64, from: &mut &[u8]) -> Option<Self> {
        let (mut failed, mut at) = (BTreeMap::new(), base);
        for _ in 0..varint::read(from)? {
            at = at.checked_add_unsigned(varint::read(from)?)?;
            let count = u32::try_from(varint::read(from)?).ok()?;
            failed.insert(at, count);
        }
        Some(Self(failed))
    }
}
