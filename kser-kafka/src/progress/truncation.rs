//! The records that stay done after the log was truncated at its end, or shortened at its start.

use super::PartitionProgress;

impl PartitionProgress {
    /// Sets the leader epoch of the committed offset. All records that the previous owner received have this epoch or an
    /// earlier one.
    pub(crate) fn set_epoch(&mut self, epoch: Option<i32>) {
        self.epoch = epoch;
    }

    /// Notes the leader epoch of the next record. If it is later than any known one, the log has other records from there on
    /// than the previous owner received, and none of them is done. Returns whether a record there was marked as done.
    pub(crate) fn note_epoch(&mut self, offset: i64, epoch: i32) -> bool {
        let mut is_cut = false;
        if self.epoch.is_some_and(|known| epoch > known) {
            is_cut = self.cut_done(offset);
            // The offset may have been skipped already, directly after a received record.
            is_cut |= self.next.is_some_and(|next| next > offset);
            self.next = self.next.map(|next| next.min(offset));
        }
        self.epoch = self.epoch.max(Some(epoch));
        is_cut
    }

    /// Notes the end of the log at some time after the partition was taken over: no record at or above it can have started
    /// before, or be done. Must be called before those records are received. Returns whether a record there was marked as done.
    pub(crate) fn note_log_end(&mut self, end: i64) -> bool {
        self.counts.cut(end);
        self.cut_done(end)
    }

    /// Forgets the records from this offset on that earlier owners have done. Returns whether there were any.
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

    /// Notes the start of the log: records below it that are not done cannot arrive any more. Returns the number of their
    /// offsets. Must be called before records are received.
    pub(crate) fn note_log_start(&mut self, start: i64) -> u64 {
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

    /// Makes the progress of the same partition after its log went back to `offset`: the records at and above it do not exist
    /// any more. It starts at the oldest record that is not done, and never above `offset`; records above the start that are
    /// done stay done.
    pub(crate) fn restart_at(&self, offset: i64) -> Self {
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
        // The revisions tell which commits name the suspected poison messages.
        progress.revision = self.revision + 1;
        progress.confirmed = self.confirmed;
        progress
    }
}
