use std::time::{Duration, Instant};

/// Where the client reads a partition.
#[derive(Debug, Default)]
pub(crate) struct Position {
    /// The offset from which on records are to come. `None` until it is known where the partition starts.
    next: Option<i64>,
    /// Where the log began when that was asked last.
    log_start: i64,
    /// The client has the partition, and fetches it.
    pub(crate) is_fetched: bool,
    /// The leader epoch that was committed with the offset where the partition starts, until its first record comes: the
    /// client compares the log with it, and goes back to where the log was cut below the offset. It does so at a seek, and not
    /// when it is given the partition (librdkafka 2.12.1).
    pub(crate) epoch: Option<i32>,
    /// Where the client has to go before another record is taken.
    pub(crate) rewind: Option<i64>,
    /// Where the log was found to end, if that is below `next`: it is told. The client waits there until it is sent to `next`
    /// with an epoch. If it fetched from beyond the end, it would go to the start of the log instead.
    pub(crate) cut_at: Option<i64>,
    /// Since when `next` is what it is, while the log has more.
    waits: Option<(i64, Instant)>,
}

/// Where a record stands that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OffsetOrder {
    /// Behind those that came before. So many offsets between them were deleted from the log.
    Forward { deleted: u64 },
    /// Among those that came before: the log was cut or made anew.
    Backward,
}

impl Position {
    /// Has records come from this offset on.
    pub(crate) fn start(&mut self, offset: i64) {
        self.next = Some(offset);
    }

    /// Returns the offset from which on records are to come, if it is known.
    pub(crate) const fn next(&self) -> Option<i64> {
        self.next
    }

    /// Notes where the log begins now. To be said before a record comes for which the client went there.
    pub(crate) fn log_starts(&mut self, offset: i64) {
        self.log_start = offset;
    }

    /// Notes a record that came. Offsets that are left out alone mean nothing: they belong to transactions, or were compacted.
    /// They are lost if the log begins behind them, and not behind the record.
    pub(crate) fn note_record(&mut self, offset: i64) -> OffsetOrder {
        let next = self.next.unwrap_or(offset);
        if offset < next {
            return OffsetOrder::Backward;
        }
        (self.epoch, self.cut_at) = (None, None);
        self.next = Some(offset.saturating_add(1));
        let deleted = match self.log_start {
            start if next < start && start <= offset => start.abs_diff(next),
            _ => 0,
        };
        OffsetOrder::Forward { deleted }
    }

    /// Says whether the log has had more for as long as `limit`, and none of it came.
    pub(crate) fn is_stuck(&mut self, log_has_more: bool, now: Instant, limit: Duration) -> bool {
        let next = self.next.filter(|_| log_has_more);
        let since = |(of, since): (i64, Instant)| (Some(of) == next).then_some(since);
        self.waits = next.map(|next| (next, self.waits.and_then(since).unwrap_or(now)));
        let waited = self
            .waits
            .map(|(_, since)| now.saturating_duration_since(since));
        waited.is_some_and(|waited| waited >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_offsets_below_the_start_of_the_log_are_lost() {
        let mut position = Position::default();
        position.start(10);
        assert_eq!(
            position.note_record(10),
            OffsetOrder::Forward { deleted: 0 }
        );
        // A transaction has ended there.
        assert_eq!(
            position.note_record(12),
            OffsetOrder::Forward { deleted: 0 }
        );
        position.log_starts(500);
        // These were fetched before.
        assert_eq!(
            position.note_record(14),
            OffsetOrder::Forward { deleted: 0 }
        );
        assert_eq!(
            position.note_record(501),
            OffsetOrder::Forward { deleted: 485 }
        );
        assert_eq!(
            position.note_record(503),
            OffsetOrder::Forward { deleted: 0 }
        );
        assert_eq!(position.note_record(503), OffsetOrder::Backward);
        assert_eq!(position.next(), Some(504));
    }

    #[test]
    fn a_partition_is_stuck_if_its_log_has_more_for_long() {
        let mut position = Position::default();
        let begin = crate::clock::monotonic();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let limit = Duration::from_secs(30);
        assert!(!position.is_stuck(true, at(0), limit));
        position.start(5);
        assert!(!position.is_stuck(true, at(0), limit));
        assert!(!position.is_stuck(true, at(29), limit));
        position.note_record(5);
        assert!(!position.is_stuck(true, at(30), limit));
        assert!(position.is_stuck(true, at(60), limit));
        assert!(!position.is_stuck(false, at(61), limit));
        assert!(!position.is_stuck(true, at(100), limit));
        assert!(position.is_stuck(true, at(130), limit));
    }
}
