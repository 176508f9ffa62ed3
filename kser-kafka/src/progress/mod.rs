//! The progress of one partition: which records are done, which may have started, and the commit that describes both.
//!
//! Pure: no clock, and no I/O. Records are settled in any order, and the committed offset is that of the first record that is
//! not done. The commit metadata describes the records above it that are done, and the records that may have started, for the
//! next owner of the partition.

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
use self::metadata::{CommitMetadata, Suspect};
use self::offset_set::OffsetSet;
use self::window::Window;

/// The progress of a partition during one ownership.
///
/// Every offset below `next` is done, held, or without a record: a partition delivers its records in order, so that a skipped
/// offset does not exist. If reading starts at another offset (the log was truncated, an operator reset the group), a new value
/// is needed.
#[derive(Debug, Clone)]
pub(crate) struct PartitionProgress {
    /// The offset of the next record. `None` until a group without a committed offset receives its first record.
    next: Option<i64>,
    /// The offsets that were received and are not done.
    held: OffsetSet,
    /// The offsets that earlier owners have done, above `next`, with a gap before each range.
    done_ahead: VecDeque<Range<i64>>,
    counts: Counts,
    failed: Failed,
    window: Window,
    writer: WriterId,
    /// The topic that the commit metadata names.
    topic: Option<TopicMark>,
    /// The latest leader epoch of the records that this owner and the previous one received.
    epoch: Option<i32>,
    budget: MetadataBudget,
    /// The number of changes that a commit would contain.
    revision: u64,
    /// The last change that is durable.
    confirmed: u64,
    left: bool,
}

/// A commit of the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The committed offset: the first offset that is not done.
    pub(crate) offset: i64,
    /// The commit metadata.
    pub(crate) metadata: String,
    /// The latest leader epoch of the received records.
    pub(crate) epoch: Option<i32>,
    /// Whether the metadata describes all records that are done above the offset. The others run again after a crash.
    pub(crate) is_complete: bool,
    revision: u64,
    ahead: i64,
}

impl PartitionProgress {
    /// Takes a partition over with the committed offset of the group and its metadata. Without an offset, the first received
    /// record is the start.
    ///
    /// Metadata that is damaged, or was written by another program, by another version, or for another offset, is ignored.
    /// Records that may have started under an owner without a final commit count as crashed deliveries, unless that owner is
    /// `writer` itself: it had lost the partition, and has it again before another member started a record.
    pub(crate) fn take_over(
        committed: Option<i64>,
        metadata: impl AsRef<[u8]>,
        writer: WriterId,
        budget: MetadataBudget,
    ) -> Self {
        let found = committed.and_then(|base| CommitMetadata::decode(base, metadata.as_ref()));
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

    /// Reads the topic that commit metadata names. `None` if the metadata is not valid for this offset, or names none.
    pub(crate) fn topic_of(committed: i64, metadata: impl AsRef<[u8]>) -> Option<TopicMark> {
        CommitMetadata::decode(committed, metadata.as_ref())?.topic
    }

    /// Reads the offsets above a committed one that its metadata says are done, in order. None if the metadata is not valid for
    /// this offset.
    pub(crate) fn settled_above(committed: i64, metadata: impl AsRef<[u8]>) -> Vec<Range<i64>> {
        let found = CommitMetadata::decode(committed, metadata.as_ref());
        found.map(|found| found.done).unwrap_or_default()
    }

    /// Sets the topic that the commit metadata names.
    pub(crate) fn set_topic(&mut self, topic: TopicMark) {
        if self.topic.replace(topic) != Some(topic) {
            self.revision += 1;
        }
    }

    /// Notes a record that arrived from the broker. Returns the number of its crashed deliveries; `None` if it must not be
    /// delivered, since it is done or held already.
    pub(crate) fn receive(&mut self, offset: i64) -> Option<u32> {
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

    /// Moves `next`, and skips the adjacent offsets that earlier owners have done.
    fn advance(&mut self, mut next: i64) {
        while let Some(run) = self.done_ahead.front()
            && run.start <= next
        {
            next = next.max(run.end);
            self.done_ahead.pop_front();
        }
        self.next = Some(next);
    }

    /// Notes that a record is done. A record that is not held is ignored.
    pub(crate) fn mark_done(&mut self, offset: i64) {
        if self.held.remove(offset) {
            self.counts.mark_done(offset);
            self.failed.note(offset, 0);
            self.revision += 1;
        }
    }

    /// Notes that a record is done, which the confirmed commit of a transaction says already: see
    /// [`commit_with`](Self::commit_with).
    pub(crate) fn mark_committed(&mut self, offset: i64) {
        let revision = self.revision;
        self.mark_done(offset);
        self.revision = revision;
    }

    /// Says whether a record was received and is not done.
    pub(crate) fn holds(&self, offset: i64) -> bool {
        self.held.contains(offset)
    }

    /// Notes that a suspected poison message, with two or more crashed deliveries, waits to start. It may start once a commit
    /// that names it is confirmed, see [`may_begin`](Self::may_begin). Other records need no request.
    pub(crate) fn begin(&mut self, offset: i64) {
        if self.held.contains(offset) && self.counts.begin(offset) {
            self.revision += 1;
        }
    }

    /// Notes that a record was released after `failed` failed attempts. It is still held, and is redelivered by this owner or
    /// the next.
    pub(crate) fn release(&mut self, offset: i64, failed: u32) {
        let is_news = self.counts.release(offset);
        let counts = self.held.contains(offset) && self.failed.note(offset, failed);
        if is_news || counts {
            self.revision += 1;
        }
    }

    /// Returns the number of failed attempts at a record at its release by this owner or the previous one.
    pub(crate) fn n_failed(&self, offset: i64) -> u32 {
        self.failed.of(offset)
    }

    /// Says whether a received record may start: a confirmed commit says that it may have started, so that a crash of its owner
    /// is counted. A suspected poison message may be delivered before, but may start only after [`begin`](Self::begin) is
    /// confirmed.
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

    /// Returns the next commit, which allows further records to start once it is confirmed. `None` while the partition has no
    /// start.
    ///
    /// Only one commit may be in flight: an older one that arrives after a newer one would revert it.
    pub(crate) fn commit(&mut self) -> Option<Commit> {
        let (commit, named) = self.write()?;
        self.counts.note_named(&named, commit.revision);
        Some(commit)
    }

    /// Returns the next commit as if these records were done, for a transaction that may be aborted. They are marked by
    /// [`mark_committed`](Self::mark_committed) once it is committed.
    pub(crate) fn commit_with(&mut self, done: &[i64]) -> Option<Commit> {
        let mut as_if = self.clone();
        done.iter().for_each(|offset| as_if.mark_done(*offset));
        let (commit, named) = as_if.write()?;
        self.counts.note_named(&named, commit.revision);
        (self.revision, self.window) = (as_if.revision, as_if.window);
        Some(commit)
    }

    /// Writes the next commit. Returns also the suspected poison messages that it names.
    fn write(&mut self) -> Option<(Commit, Vec<Suspect>)> {
        let (offset, next) = (self.first_not_done()?, self.next?);
        self.counts.forget_below(offset);
        self.failed.forget_below(offset);
        let mut metadata = CommitMetadata {
            topic: self.topic,
            writer: self.writer.0,
            is_final: self.left,
            done: self.done_above(offset, next),
            failed: self.failed.clone(),
            ..CommitMetadata::default()
        };
        if !self.left {
            self.revision += u64::from(self.window.advance(next));
            metadata.ahead = self.window.ahead();
        }
        self.counts.write(&mut metadata);
        let encoded = metadata.encode(offset, self.budget);
        let commit = Commit {
            offset,
            metadata: encoded.text,
            epoch: self.epoch,
            is_complete: encoded.map_is_complete,
            revision: self.revision,
            ahead: metadata.ahead,
        };
        metadata.suspects.truncate(encoded.n_suspects);
        Some((commit, metadata.suspects))
    }

    /// Notes that a commit is durable.
    pub(crate) fn confirm(&mut self, commit: &Commit) {
        self.confirmed = self.confirmed.max(commit.revision);
        self.window.confirm(commit.ahead);
    }

    /// Halves the size limit of the commit metadata, after the broker refused metadata for its length.
    pub(crate) fn shorten_text(&mut self) {
        self.budget = self.budget.half();
    }

    /// Returns the final commit, after which the next owner counts no crashed deliveries for this ownership; earlier counts
    /// stay. From now on no record may start, and every commit is final.
    pub(crate) fn final_commit(&mut self) -> Option<Commit> {
        self.left = true;
        self.revision += 1;
        self.commit()
    }

    /// Says whether a commit would contain changes that are not confirmed.
    pub(crate) fn has_changes(&self) -> bool {
        let more = |next| !self.left && self.window.is_short(next);
        self.next
            .is_some_and(|next| self.confirmed < self.revision || more(next))
    }

    /// Says whether such a commit is urgent: a record waits for it, or soon will.
    pub(crate) fn is_urgent(&self) -> bool {
        let short = |next| self.window.holds_back(next) || self.window.is_short(next);
        let waits = || self.next.is_some_and(short) || self.counts.any_waits(self.confirmed);
        !self.left && self.has_changes() && waits()
    }

    /// Says whether the map of done offsets takes over three quarters of its guaranteed space. Then the partition has to be
    /// paused until the map shrinks.
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

    /// Returns the first offset that is not done: that of the oldest held record, or the next one.
    pub(crate) fn first_not_done(&self) -> Option<i64> {
        self.held.first().or(self.next)
    }

    /// Returns the number of records below the end of the log that are not done: the held records and the next ones, without
    /// those that earlier owners have done. No record arrives below `start`; while the partition has no start of its own, the
    /// number is `None` without it.
    pub(crate) fn n_not_done(&self, start: Option<i64>, end: i64) -> Option<u64> {
        let next = self.next.max(start)?;
        let done = self.done_ahead.iter().map(|run| {
            let (from, to) = (run.start.max(next), run.end.min(end));
            to.saturating_sub(from).max(0)
        });
        let to_come = end.saturating_sub(next).max(0) - done.sum::<i64>();
        Some(self.held.len() as u64 + to_come.unsigned_abs())
    }

    /// Returns the offset of the next record.
    #[cfg(test)]
    pub(crate) const fn next(&self) -> Option<i64> {
        self.next
    }

    /// Returns the number of records that were received and are not done.
    #[cfg(test)]
    pub(crate) const fn n_held(&self) -> usize {
        self.held.len()
    }

    /// Returns the offset of the oldest held record.
    #[cfg(test)]
    pub(crate) fn oldest_held(&self) -> Option<i64> {
        self.held.first()
    }

    /// Returns the number of held records that are suspected poison messages.
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
