//! What one partition's owner knows of its records: which are done, which run, and what a commit says of it.
//!
//! Pure: it reads no clock and calls nobody. Records end in any order, and a commit moves only to the first that is
//! not done; what is done above it, and what may have begun, stands in the text beside the offset, for whoever takes
//! the partition over.

mod base64;
mod counts;
mod done_map;
mod failed;
mod metadata;
mod offset_set;
mod seal;
#[cfg(test)]
mod tests;
mod topic_mark;
mod truncation;
mod varint;
mod window;
mod writer_id;

use std::collections::VecDeque;
use std::iter;
use std::ops::Range;

pub(crate) use self::metadata::MetadataBudget;
pub(crate) use self::topic_mark::TopicMark;
pub(crate) use self::writer_id::WriterId;

use self::counts::{Counts, SUSPECT};
use self::failed::Failed;
use self::metadata::Metadata;
use self::offset_set::OffsetSet;
use self::window::Window;

/// What a partition's owner knows of its records, from taking it over until it goes to someone else.
///
/// Below `next` every offset is done, or held, or never was there: a partition gives its records in order, so that an
/// offset that was passed over does not exist. Whoever reads the partition from another place (its log was cut, an
/// operator moved the group) starts with a new value.
#[derive(Debug)]
pub(crate) struct PartitionProgress {
    /// The end of what is accounted for. `None` until a group without an offset receives its first record.
    next: Option<i64>,
    /// What was received and is not done.
    held: OffsetSet,
    /// What a predecessor did, above `next` with a gap before each.
    done_ahead: VecDeque<Range<i64>>,
    counts: Counts,
    failed: Failed,
    window: Window,
    writer: WriterId,
    /// The topic that texts name.
    topic: Option<TopicMark>,
    /// The latest leader epoch of the records that were received, here and by the predecessor.
    epoch: Option<i32>,
    budget: MetadataBudget,
    /// Counts the changes that a commit would tell of.
    revision: u64,
    /// The last of them that is durable.
    confirmed: u64,
    left: bool,
}

/// What to write to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The first offset that is not done, which is what Kafka calls the committed offset.
    pub(crate) offset: i64,
    /// The text beside it.
    pub(crate) metadata: String,
    /// The leader epoch beside it: the latest of the records that were received.
    pub(crate) epoch: Option<i32>,
    /// Whether the text names all that is done above the offset. What it leaves out runs again after a crash.
    pub(crate) is_complete: bool,
    revision: u64,
    ahead: i64,
}

impl PartitionProgress {
    /// Takes a partition over, from the group's committed offset (`None` when it has none: then the first record that
    /// is received is the start) and the text beside it.
    ///
    /// A text that is damaged, someone else's, of another version, or of another offset says nothing. What a
    /// predecessor who said no goodbye may have begun is counted, unless that was `writer`, who lives: it had lost the
    /// partition, and has it again before anybody else began a record.
    pub(crate) fn take_over(
        committed: Option<i64>,
        metadata: impl AsRef<[u8]>,
        writer: WriterId,
        budget: MetadataBudget,
    ) -> Self {
        let found = committed.and_then(|base| Metadata::decode(base, metadata.as_ref()));
        let found = found.unwrap_or_default();
        let mut progress = Self {
            next: committed,
            held: OffsetSet::default(),
            counts: Counts::take_over(&found, writer),
            failed: found.failed,
            done_ahead: found.done.into(),
            window: Window::new(),
            writer,
            topic: None,
            epoch: None,
            budget,
            revision: 1,
            confirmed: 0,
            left: false,
        };
        if let Some(next) = committed {
            progress.advance(next);
        }
        progress
    }

    /// Reads of which topic a text was written. `None` when it is not one for this offset, or does not tell.
    pub(crate) fn topic_of(committed: i64, metadata: impl AsRef<[u8]>) -> Option<TopicMark> {
        Metadata::decode(committed, metadata.as_ref())?.topic
    }

    /// Notes the topic that texts name from now on.
    pub(crate) fn belongs_to(&mut self, topic: TopicMark) {
        if self.topic.replace(topic) != Some(topic) {
            self.revision += 1;
        }
    }

    /// Notes a record that came from the broker. Returns how often it may have begun and ended without a goodbye;
    /// `None` when it is not to be delivered: it is done, or held already.
    pub(crate) fn received(&mut self, offset: i64) -> Option<u32> {
        let next = self.next.unwrap_or(offset);
        if offset < next {
            return None;
        }
        while let Some(run) = self.done_ahead.front()
            && run.start <= offset
        {
            if offset < run.end {
                let end = run.end;
                self.done_ahead.pop_front();
                self.revision += 1;
                self.advance(end);
                return None;
            }
            self.done_ahead.pop_front();
        }
        self.held.push(offset);
        self.advance(offset.saturating_add(1));
        Some(self.counts.of(offset))
    }

    /// Moves `next`, over what a predecessor did right behind it.
    fn advance(&mut self, mut next: i64) {
        while let Some(run) = self.done_ahead.front()
            && run.start <= next
        {
            next = next.max(run.end);
            self.done_ahead.pop_front();
        }
        self.next = Some(next);
    }

    /// Notes that a record is done. One that is not held is ignored.
    pub(crate) fn done(&mut self, offset: i64) {
        if self.held.remove(offset) {
            self.counts.done(offset);
            self.failed.note(offset, 0);
            self.revision += 1;
        }
    }

    /// Notes that a suspect, which is a record that counts 2 or more, waits to begin. It may once a commit that names
    /// it is confirmed, see [`may_begin`](Self::may_begin). Others need not ask.
    pub(crate) fn begin(&mut self, offset: i64) {
        if self.held.contains(offset) && self.counts.begin(offset) {
            self.revision += 1;
        }
    }

    /// Notes that a record was given back and does not run: it is still held, and this owner or the next delivers it again.
    /// So many attempts at it have failed.
    pub(crate) fn released(&mut self, offset: i64, failed: u32) {
        let is_news = self.counts.release(offset);
        let counts = self.held.contains(offset) && self.failed.note(offset, failed);
        if is_news || counts {
            self.revision += 1;
        }
    }

    /// Returns how many attempts at a record had failed when it was given back, here or by the predecessor.
    pub(crate) fn failed(&self, offset: i64) -> u32 {
        self.failed.of(offset)
    }

    /// Whether a record that is received may begin: what the broker has says so, and if its owner dies it is counted.
    /// A suspect may not before [`begin`](Self::begin) was asked for and is confirmed; it can be handed out before.
    pub(crate) fn may_begin(&self, offset: i64) -> bool {
        if self.left {
            return false;
        }
        if self.counts.of(offset) < SUSPECT {
            return self.window.allows(offset);
        }
        let since = self.counts.named_since(offset);
        since.is_some_and(|revision| revision <= self.confirmed)
    }

    /// Returns what to commit now, which allows further records to begin. `None` while the partition has no start.
    ///
    /// One commit is to be on its way at a time: an older one that arrives after a newer one would take back what that
    /// said.
    pub(crate) fn commit(&mut self) -> Option<Commit> {
        let (offset, next) = (self.first_not_done()?, self.next?);
        self.counts.forget_below(offset);
        self.failed.forget_below(offset);
        let mut metadata = Metadata {
            topic: self.topic,
            writer: self.writer.0,
            is_final: self.left,
            done: self.done_above(offset, next),
            failed: self.failed.clone(),
            ..Metadata::default()
        };
        if !self.left {
            self.revision += u64::from(self.window.advance(next));
            metadata.ahead = self.window.ahead();
        }
        self.counts.write(&mut metadata);
        let encoded = metadata.encode(offset, self.budget);
        let named = &metadata.suspects[..encoded.n_suspects];
        self.counts.named(named, self.revision);
        Some(Commit {
            offset,
            metadata: encoded.text,
            epoch: self.epoch,
            is_complete: encoded.map_is_complete,
            revision: self.revision,
            ahead: metadata.ahead,
        })
    }

    /// Notes that a commit was read back from the broker.
    pub(crate) fn confirmed(&mut self, commit: &Commit) {
        self.confirmed = self.confirmed.max(commit.revision);
        self.window.confirm(commit.ahead);
    }

    /// Halves the length of the text beside the offset, since the broker takes none that is so long.
    pub(crate) fn shorten_text(&mut self) {
        self.budget = self.budget.halved();
    }

    /// Returns what an owner whose records have all ended or been given back writes last: for its successor nothing
    /// counts because of it, and older counts stay. From now on nothing may begin, and every commit says goodbye.
    pub(crate) fn final_commit(&mut self) -> Option<Commit> {
        self.left = true;
        self.revision += 1;
        self.commit()
    }

    /// Whether a commit would say something that is not confirmed.
    pub(crate) fn changed(&self) -> bool {
        let more = |next| !self.left && self.window.is_short(next);
        self.next
            .is_some_and(|next| self.confirmed < self.revision || more(next))
    }

    /// Whether such a commit is wanted at once: a record waits for it, or soon will.
    pub(crate) fn is_urgent(&self) -> bool {
        let short = |next| self.window.holds_back(next) || self.window.is_short(next);
        let waits = || self.next.is_some_and(short) || self.counts.any_waits(self.confirmed);
        !self.left && self.changed() && waits()
    }

    /// Whether the map takes over three quarters of what it has for certain. No further records of this partition are
    /// to be taken until it shrinks.
    pub(crate) fn is_full(&self) -> bool {
        let (Some(base), Some(next)) = (self.first_not_done(), self.next) else {
            return false;
        };
        let end = self.done_ahead.back().map_or(next, |run| run.end);
        let n_intervals = self.held.n_intervals() + self.done_ahead.len();
        let held = self.held.len() as u64;
        let unfinished = held..=held + end.abs_diff(next);
        let most = done_map::most_bytes(end.abs_diff(base), n_intervals as u64, unfinished);
        most > self.budget.for_map() as u64 / 4 * 3
    }

    /// Returns the first offset that is not done: the oldest record that is held, or the next to come.
    pub(crate) fn first_not_done(&self) -> Option<i64> {
        self.held.first().or(self.next)
    }

    /// Returns the number of records below the end of the log that are not done: those that are held, and those to come,
    /// without those that a predecessor did. Below `start` no record is to come, which is needed while the partition has
    /// no start of its own: without it the number is not known then.
    pub(crate) fn n_not_done(&self, start: Option<i64>, end: i64) -> Option<u64> {
        let next = self.next.max(start)?;
        let done = self.done_ahead.iter().map(|run| {
            let (from, to) = (run.start.max(next), run.end.min(end));
            to.saturating_sub(from).max(0)
        });
        let to_come = end.saturating_sub(next).max(0) - done.sum::<i64>();
        Some(self.held.len() as u64 + to_come.unsigned_abs())
    }

    /// Returns the offset from which on nothing was received.
    #[cfg(test)]
    pub(crate) const fn next(&self) -> Option<i64> {
        self.next
    }

    /// Returns how many records are held: received, and not done.
    #[cfg(test)]
    pub(crate) const fn n_held(&self) -> usize {
        self.held.len()
    }

    /// Returns the oldest record that is held.
    #[cfg(test)]
    pub(crate) fn oldest_held(&self) -> Option<i64> {
        self.held.first()
    }

    /// Returns how many of those that are held are suspects.
    pub(crate) fn n_suspects(&self) -> usize {
        let below = self.counts.suspects_below();
        let suspects = self.held.intervals().take_while(|run| run.start < below);
        suspects
            .map(|run| run.end.min(below).abs_diff(run.start) as usize)
            .sum()
    }

    fn done_above(&self, base: i64, next: i64) -> Vec<Range<i64>> {
        let mut at = base;
        let mut done = Vec::with_capacity(self.held.n_intervals() + self.done_ahead.len());
        for held in self.held.intervals().chain(iter::once(next..next)) {
            if at < held.start {
                done.push(at..held.start);
            }
            at = held.end;
        }
        done.extend(self.done_ahead.iter().cloned());
        done
    }
}
