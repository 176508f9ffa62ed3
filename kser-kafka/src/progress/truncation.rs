//! What stays done when the log is not any more what it was: cut at its end, or at its start.

use super::PartitionProgress;

impl PartitionProgress {
    /// Notes the leader epoch that was committed with the offset: all that the predecessor received was written under it or
    /// an earlier one.
    pub(crate) fn committed_under(&mut self, epoch: Option<i32>) {
        self.epoch = epoch;
    }

    /// Notes the leader epoch of the record that is received next. From a record of a later epoch than any that is known
    /// on, the log holds other records than the predecessor's: nothing of them is done. Returns whether something was.
    pub(crate) fn written_under(&mut self, offset: i64, epoch: i32) -> bool {
        let mut is_cut = false;
        if self.epoch.is_some_and(|known| epoch > known) {
            is_cut = self.cut_done(offset);
            // It may have been passed already, right behind a record that was received.
            is_cut |= self.next.is_some_and(|next| next > offset);
            self.next = self.next.map(|next| next.min(offset));
        }
        self.epoch = self.epoch.max(Some(epoch));
        is_cut
    }

    /// Notes where the log ended at some time after the take-over: no record from there on can have begun before it, or be
    /// done. To be said before those records are received. Returns whether something was done there.
    pub(crate) fn log_ended(&mut self, end: i64) -> bool {
        self.counts.cut(end);
        self.cut_done(end)
    }

    /// Forgets what a predecessor did from this offset on. Returns whether that was something.
    fn cut_done(&mut self, from: i64) -> bool {
        self.failed.cut(from);
        let mut is_cut = false;
        while let Some(run) = self.done_ahead.back_mut()
            && run.end > from
        {
            is_cut = true;
            self.revision += 1;
            run.end = from;
            if run.start < run.end {
                break;
            }
            self.done_ahead.pop_back();
        }
        is_cut
    }

    /// Notes where the log begins: what is not done below that cannot come any more. Returns how many offsets those are. To be
    /// said before records are received.
    pub(crate) fn log_starts(&mut self, start: i64) -> u64 {
        let Some(next) = self.next.filter(|next| *next < start) else {
            return 0;
        };
        let below = |offset: i64| offset.min(start);
        let runs = self.done_ahead.iter();
        let done: u64 = runs
            .map(|run| below(run.end).abs_diff(below(run.start)))
            .sum();
        self.advance(start);
        self.revision += 1;
        start.abs_diff(next) - done
    }

    /// Takes the partition over from itself, because its log went back: what is done or held from `offset` on stands for
    /// records that are no more. Begins at the oldest record that is not done, though never above `offset`; what is done
    /// behind it stays done.
    pub(crate) fn went_back(&self, offset: i64) -> Self {
        let first = self
            .first_not_done()
            .map_or(offset, |first| first.min(offset));
        let next = self.next.unwrap_or(first);
        let done = self.done_above(first, next).into_iter();
        let done = done.map(|run| run.start..run.end.min(offset));
        let mut progress = Self::take_over(Some(first), "", self.writer, self.budget);
        (progress.topic, progress.epoch) = (self.topic, self.epoch);
        progress.counts = self.counts.clone();
        progress.counts.cut(offset);
        progress.failed = self.failed.clone();
        progress.failed.cut(offset);
        progress.done_ahead = done.filter(|run| !run.is_empty()).collect();
        // What a suspect's beginning was named in is told by these numbers.
        progress.revision = self.revision + 1;
        progress.confirmed = self.confirmed;
        progress
    }
}
