use std::time::{Duration, Instant};

/// The position at which the client reads a partition.
#[derive(Debug, Default)]
pub(crate) struct Position {
    /// The offset of the next record. `None` until the start of the partition is known.
    next: Option<i64>,
    /// The start of the log, when it was read last.
    log_start: i64,
    /// The partition is assigned to the client, which fetches it.
    pub(crate) is_fetched: bool,
    /// The leader epoch of the committed offset, until the first record arrives. With it the client checks the log, and goes
    /// back to the offset at which the log was truncated. It does so at a seek, and after an assignment only once it learns of a
    /// later leader epoch than it knew, which it does not where it knows the partition already (sources of librdkafka 2.12.1).
    pub(crate) epoch: Option<i32>,
    /// The offset to which the client has to seek. Until then arriving records are ignored.
    pub(crate) rewind: Option<i64>,
    /// The end of the log if it is below `next`, which has been logged. The client waits there until it seeks to `next` with an
    /// epoch. If it fetched from beyond the end, it would go to the start of the log instead.
    pub(crate) cut_at: Option<i64>,
    /// The offset at which the client waits although the log has more records, and since when.
    waits: Option<(i64, Instant)>,
}

/// The position of an arriving record relative to the records before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OffsetOrder {
    /// After the records before it. This many offsets between them were deleted from the log.
    Forward { deleted: u64 },
    /// At or before a record that arrived already: the log was truncated or recreated.
    Backward,
}

impl Position {
    /// Sets the offset of the first record.
    pub(crate) fn start(&mut self, offset: i64) {
        self.next = Some(offset);
    }

    /// Returns the offset of the next record, if it is known.
    pub(crate) const fn next(&self) -> Option<i64> {
        self.next
    }

    /// Notes the start of the log. Must be called before the first record that arrives after a reset to that start.
    pub(crate) fn note_log_start(&mut self, offset: i64) {
        self.log_start = offset;
    }

    /// Notes the offset of an arriving record. Skipped offsets alone mean nothing: they belong to transactions, or were
    /// compacted. They are lost if the log starts after them and not after the record.
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

    /// Says whether the log has had more records for at least `limit`, and none of them arrived.
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
        // Offset 11 is the marker of a transaction.
        assert_eq!(
            position.note_record(12),
            OffsetOrder::Forward { deleted: 0 }
        );
        position.note_log_start(500);
        // This record was fetched before.
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
