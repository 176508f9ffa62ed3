use std::collections::BTreeMap;

use super::WriterId;
use super::metadata::{CommitMetadata, Suspect};

/// The number of crashed deliveries from which on a record is a suspected poison message, and counted only if it was started.
pub(super) const SUSPECT: u32 = 2;

/// The numbers of crashed deliveries of records: those that may have started under an owner without a final commit.
///
/// Two marks hold the counts 1 and 2 of all records, since records are delivered nearly in order. Higher counts are kept one by
/// one.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    /// Records below it count at least 1.
    once: i64,
    /// Records below it count at least 2. Never above `once`.
    twice: i64,
    /// Suspected poison messages that were started, or count more than 2. All are below `twice`.
    suspects: BTreeMap<i64, Count>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    crash_count: u32,
    begun: Started,
}

/// Whether a suspected poison message was started, ordered by the importance of naming it in a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Started {
    /// Every commit since this revision names it.
    Named(u64),
    /// No commit names it yet.
    Asked,
    No,
}

impl Counts {
    /// Takes over the counts of the previous owner. Records that may have started under it count once more, unless its commit
    /// was final or its id is `writer`.
    pub(super) fn take_over(found: &CommitMetadata, writer: WriterId) -> Self {
        let died = !found.is_final && found.writer != writer.0;
        let (mut once, mut twice) = (found.once, found.twice);
        if died {
            // Records with one crashed delivery that the previous owner could start.
            twice = twice.max(once.min(found.ahead));
            once = once.max(found.ahead);
        }
        let counted = found.suspects.iter().map(|suspect| {
            let again = u32::from(died && suspect.begun);
            (suspect.offset, suspect.crash_count.saturating_add(again))
        });
        let others = counted.filter(|(_, crash_count)| *crash_count > SUSPECT);
        let begun = Started::No;
        let suspects = others.map(|(offset, crash_count)| (offset, Count { crash_count, begun }));
        Self {
            once,
            twice,
            suspects: suspects.collect(),
        }
    }

    /// Notes that no record at or above `end` can have started.
    pub(super) fn cut(&mut self, end: i64) {
        self.once = self.once.min(end);
        self.twice = self.twice.min(end);
        drop(self.suspects.split_off(&end));
    }

    pub(super) fn of(&self, offset: i64) -> u32 {
        if offset >= self.twice {
            return u32::from(offset < self.once);
        }
        self.suspects
            .get(&offset)
            .map_or(SUSPECT, |count| count.crash_count)
    }

    /// Returns the offset below which all records are suspected poison messages.
    pub(super) const fn suspects_below(&self) -> i64 {
        self.twice
    }

    /// Notes that a suspected poison message waits to start. Returns `false` if that is noted already, or the record is none.
    pub(super) fn begin(&mut self, offset: i64) -> bool {
        if offset >= self.twice {
            return false;
        }
        let count = self.suspects.entry(offset).or_insert(Count {
            crash_count: SUSPECT,
            begun: Started::No,
        });
        let is_news = count.begun == Started::No;
        if is_news {
            count.begun = Started::Asked;
        }
        is_news
    }

    /// Notes that a suspected poison message does not run. Returns `false` if that is known.
    pub(super) fn release(&mut self, offset: i64) -> bool {
        let Some(count) = self.suspects.get_mut(&offset) else {
            return false;
        };
        let is_news = count.begun != Started::No;
        count.begun = Started::No;
        if count.crash_count == SUSPECT {
            self.suspects.remove(&offset);
        }
        is_news
    }

    pub(super) fn mark_done(&mut self, offset: i64) {
        if offset < self.twice {
            self.suspects.remove(&offset);
        }
    }

    /// Forgets records below `base`: they are done, or do not exist.
    pub(super) fn forget_below(&mut self, base: i64) {
        if self
            .suspects
            .first_key_value()
            .is_some_and(|(first, _)| *first < base)
        {
            self.suspects = self.suspects.split_off(&base);
        }
    }

    /// Returns the revision since which every commit names the suspected poison message as started.
    pub(super) fn named_since(&self, offset: i64) -> Option<u64> {
        match self.suspects.get(&offset)?.begun {
            Started::Named(revision) => Some(revision),
            Started::Asked | Started::No => None,
        }
    }

    /// Says whether a suspected poison message waits to start, if commits up to this revision are confirmed.
    pub(super) fn any_waits(&self, confirmed: u64) -> bool {
        self.suspects.values().any(|count| match count.begun {
            Started::Named(revision) => revision > confirmed,
            Started::Asked => true,
            Started::No => false,
        })
    }

    /// Writes the counts in the order of their importance, since not all may fit: first the records that are named already,
    /// then those that wait to start, then the highest counts. A record that is left out counts 2, and is still suspected.
    pub(super) fn write(&self, to: &mut CommitMetadata) {
        (to.once, to.twice) = (self.once, self.twice);
        let mut suspects: Vec<(&i64, &Count)> = self.suspects.iter().collect();
        suspects
            .sort_by_key(|(offset, count)| (count.begun, u32::MAX - count.crash_count, **offset));
        let written = suspects.into_iter().map(|(&offset, count)| Suspect {
            offset,
            crash_count: count.crash_count,
            begun: count.begun != Started::No,
        });
        to.suspects = written.collect();
    }

    /// Notes that the commit of this revision names these records.
    pub(super) fn note_named(&mut self, suspects: &[Suspect], revision: u64) {
        for suspect in suspects.iter().filter(|suspect| suspect.begun) {
            let count = self.suspects.get_mut(&suspect.offset);
            if let Some(count) = count.filter(|count| count.begun == Started::Asked) {
                count.begun = Started::Named(revision);
            }
        }
    }
}
