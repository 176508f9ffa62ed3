//! The numbers of failed attempts at released records, for their next deliveries.

use std::collections::BTreeMap;

use super::varint;

/// The numbers of failed attempts at records, by offset. A record without failed attempts is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Failed(BTreeMap<i64, u32>);

impl Failed {
    pub(super) fn of(&self, offset: i64) -> u32 {
        self.0.get(&offset).copied().unwrap_or_default()
    }

    /// Sets the number of failed attempts at a record. Returns `false` if it is unchanged.
    pub(super) fn note(&mut self, offset: i64, failed: u32) -> bool {
        let before = match failed {
            0 => self.0.remove(&offset),
            _ => self.0.insert(offset, failed),
        };
        before.unwrap_or_default() != failed
    }

    /// Forgets records below `base`: they are done, or do not exist.
    pub(super) fn forget_below(&mut self, base: i64) {
        if self
            .0
            .first_key_value()
            .is_some_and(|(first, _)| *first < base)
        {
            self.0 = self.0.split_off(&base);
        }
    }

    /// Forgets records from `end` on, in whose place the log has others.
    pub(super) fn cut(&mut self, end: i64) {
        drop(self.0.split_off(&end));
    }

    /// Encodes the entries that fit into `room` bytes, from the lowest offset on: their number, and for each the distance from
    /// the one before, and the count. Empty if no entry fits.
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

    /// Decodes the output of [`write`](Self::write), and removes it from the front of the bytes. `None` for any other bytes.
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
