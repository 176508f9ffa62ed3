use std::collections::BTreeMap;

use super::WriterId;
use super::metadata::{Metadata, Suspect};

/// From this count on a record is counted further only if it was begun.
pub(super) const SUSPECT: u32 = 2;

/// How often records may have begun and ended without a goodbye of who ran them.
///
/// Two marks hold the counts of all, since records are given out nearly in order; from two on each has its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    /// Records below it count 1 at least.
    once: i64,
    /// Records below it count 2 at least. Never above `once`.
    twice: i64,
    /// Suspects that were begun, or count more than 2. All below `twice`.
    suspects: BTreeMap<i64, Count>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    unreported: u32,
    begun: Begun,
}

/// Ordered by how much it matters that a commit names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Begun {
    /// Since this revision every commit names it.
    Named(u64),
    /// No commit names it yet.
    Asked,
    No,
}

impl Counts {
    /// Takes over what a predecessor wrote: without a goodbye, and unless that was `writer`, what he may have begun counts
    /// once more.
    pub(super) fn take_over(found: &Metadata, writer: WriterId) -> Self {
        let died = !found.is_final && found.writer != writer.0;
        let (mut once, mut twice) = (found.once, found.twice);
        if died {
            // What he had counted once, and could begin.
            twice = twice.max(once.min(found.ahead));
            once = once.max(found.ahead);
        }
        let counted = found.suspects.iter().map(|suspect| {
            let again = u32::from(died && suspect.begun);
            (suspect.offset, suspect.unreported.saturating_add(again))
        });
        let others = counted.filter(|(_, unreported)| *unreported > SUSPECT);
        let begun = Begun::No;
        let suspects = others.map(|(offset, unreported)| (offset, Count { unreported, begun }));
        Self {
            once,
            twice,
            suspects: suspects.collect(),
        }
    }

    /// Notes that no record at or above this can have begun.
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
            .map_or(SUSPECT, |count| count.unreported)
    }

    /// Returns the offset below which all are suspects.
    pub(super) const fn suspects_below(&self) -> i64 {
        self.twice
    }

    /// Notes that a suspect is about to begin. `false` when that is noted, or it is none.
    pub(super) fn begin(&mut self, offset: i64) -> bool {
        if offset >= self.twice {
            return false;
        }
        let count = self.suspects.entry(offset).or_insert(Count {
            unreported: SUSPECT,
            begun: Begun::No,
        });
        let is_news = count.begun == Begun::No;
        if is_news {
            count.begun = Begun::Asked;
        }
        is_news
    }

    /// Notes that a suspect does not run. `false` when that is known.
    pub(super) fn release(&mut self, offset: i64) -> bool {
        let Some(count) = self.suspects.get_mut(&offset) else {
            return false;
        };
        let is_news = count.begun != Begun::No;
        count.begun = Begun::No;
        if count.unreported == SUSPECT {
            self.suspects.remove(&offset);
        }
        is_news
    }

    pub(super) fn done(&mut self, offset: i64) {
        if offset < self.twice {
            self.suspects.remove(&offset);
        }
    }

    /// Forgets records below this: they are done, or never were.
    pub(super) fn forget_below(&mut self, base: i64) {
        if self
            .suspects
            .first_key_value()
            .is_some_and(|(first, _)| *first < base)
        {
            self.suspects = self.suspects.split_off(&base);
        }
    }

    /// Returns the revision from which on every commit says that a suspect has begun.
    pub(super) fn named_since(&self, offset: i64) -> Option<u64> {
        match self.suspects.get(&offset)?.begun {
            Begun::Named(revision) => Some(revision),
            Begun::Asked | Begun::No => None,
        }
    }

    /// Whether a suspect waits to begin, when commits up to this revision are confirmed.
    pub(super) fn any_waits(&self, confirmed: u64) -> bool {
        self.suspects.values().any(|count| match count.begun {
            Begun::Named(revision) => revision > confirmed,
            Begun::Asked => true,
            Begun::No => false,
        })
    }

    /// Writes the counts, with those first that matter most, should not all fit: what is named stays named, then what
    /// waits to begin, then the highest counts. One that is left out counts 2, and is a suspect still.
    pub(super) fn write(&self, to: &mut Metadata) {
        (to.once, to.twice) = (self.once, self.twice);
        let mut suspects: Vec<(&i64, &Count)> = self.suspects.iter().collect();
        suspects
            .sort_by_key(|(offset, count)| (count.begun, u32::MAX - count.unreported, **offset));
        let written = suspects.into_iter().map(|(&offset, count)| Suspect {
            offset,
            unreported: count.unreported,
            begun: count.begun != Begun::No,
        });
        to.suspects = written.collect();
    }

    /// Notes that the commit of this revision names these.
    pub(super) fn named(&mut self, suspects: &[Suspect], revision: u64) {
        for suspect in suspects.iter().filter(|suspect| suspect.begun) {
            let count = self.suspects.get_mut(&suspect.offset);
            if let Some(count) = count.filter(|count| count.begun == Begun::Asked) {
                count.begun = Begun::Named(revision);
            }
        }
    }
}
