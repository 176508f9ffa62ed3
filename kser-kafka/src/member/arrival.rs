use std::sync::Arc;

use kser_core::{Record, Timestamp};
use kser_librdkafka::TopicId;
use rdkafka::message::{BorrowedMessage, Message};

use super::{Member, record};
use crate::delay::wait::Stamp;
use crate::offsets::position::OffsetOrder;
use crate::progress::PartitionProgress;

/// The result of the arrival of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArrivalOutcome {
    Taken,
    WentBack,
}

/// The arrival of records, and of logs that changed.
impl Member {
    /// Takes a message that arrived now, unless the member closes: then the next owner of the partition receives it. Returns whether the offset
    /// went back, so that the progress of the partition is invalid.
    pub(crate) fn receive_message(
        &mut self,
        message: &BorrowedMessage<'_>,
        now: Timestamp,
    ) -> ArrivalOutcome {
        let Some(subscribed) = self.topics.get(message.topic()) else {
            return ArrivalOutcome::Taken;
        };
        let record = record(subscribed.topic.clone(), message);
        if let Some(epoch) = kser_librdkafka::leader_epoch(message)
            && let Some(assignment) = self.assignment_of(message.topic(), message.partition())
            && assignment.note_epoch(message.offset(), epoch)
        {
            self.log_truncated(message.topic(), message.partition(), message.offset());
        }
        let at = message.timestamp().to_millis().unwrap_or_default();
        let stamp = Stamp {
            at: Timestamp::from_millis(u64::try_from(at).unwrap_or_default()),
            by_broker: matches!(message.timestamp(), rdkafka::Timestamp::LogAppendTime(_)),
        };
        self.receive_record(message.partition(), message.offset(), stamp, record, now)
    }

    pub(super) fn receive_record(
        &mut self,
        partition: i32,
        offset: i64,
        stamp: Stamp,
        record: Record,
        now: Timestamp,
    ) -> ArrivalOutcome {
        if self.closing {
            return ArrivalOutcome::Taken;
        }
        let publisher = Arc::clone(&self.publisher);
        let Some(assignment) = self.assignment_of(record.topic.as_str(), partition) else {
            return ArrivalOutcome::Taken;
        };
        if assignment.position.rewind.is_some() {
            return ArrivalOutcome::Taken;
        }
        let topic = assignment.topic.as_str().to_owned();
        let deleted = match assignment.position.note_record(offset) {
            OffsetOrder::Backward => return ArrivalOutcome::WentBack,
            OffsetOrder::Forward { deleted } => deleted,
        };
        let next = assignment.receive(offset, stamp, record, &publisher.time, now);
        let id = assignment.id;
        self.carry_out(id, offset, next);
        if deleted > 0 {
            self.log_deleted(&topic, partition, offset, deleted);
        }
        ArrivalOutcome::Taken
    }

    /// Restarts a partition whose log went back to an offset. Returns the offset to read from: that of the oldest record that
    /// is not done, since earlier tickets are lost. If it differs from `offset`, the client has to seek there.
    pub(crate) fn restart_at(&mut self, topic: &str, partition: i32, offset: i64) -> Option<i64> {
        let old = self.assignment_of(topic, partition)?;
        let (next, is_paused) = (old.position.next()?, old.paused);
        let is_told = old.position.cut_at.is_some();
        let progress = old.progress.as_ref()?.restart_at(offset);
        let first = progress.first_not_done()?.min(offset);
        self.remove_partition(topic, partition);
        let assignment = self.add_partition(topic, partition)?;
        assignment.begin(progress);
        assignment.paused = is_paused;
        assignment.position.start(first);
        assignment.position.is_fetched = true;
        assignment.position.rewind = Some(first).filter(|first| *first < offset);
        self.resets += u64::from(!is_told);
        tracing::error!(
            target: "kser_kafka",
            topic, partition, offset, expected = next, from = first, count = next.abs_diff(offset),
            "the log of the partition went back: it was truncated or recreated; records that are not done run again, and all records \
             from this offset on",
        );
        Some(first)
    }

    /// Restarts a partition of a recreated topic at the start of its log. The client has to seek there.
    pub(crate) fn restart_recreated(
        &mut self,
        topic: &str,
        partition: i32,
        id: TopicId,
        start: i64,
        progress: PartitionProgress,
    ) {
        let Some(old) = self.assignment_of(topic, partition) else {
            return;
        };
        let (next, is_paused) = (old.position.next(), old.paused);
        self.remove_partition(topic, partition);
        let Some(assignment) = self.add_partition(topic, partition) else {
            return;
        };
        assignment.begin(progress);
        assignment.topic_id = Some(id);
        assignment.paused = is_paused;
        assignment.position.start(start);
        assignment.position.is_fetched = true;
        assignment.position.rewind = Some(start);
        self.log_recreated(topic, partition, start, next);
    }

    /// Counts and logs a partition of a recreated topic.
    pub(crate) fn log_recreated(
        &mut self,
        topic: &str,
        partition: i32,
        start: i64,
        was: Option<i64>,
    ) {
        self.resets += 1;
        tracing::error!(
            target: "kser_kafka",
            topic, partition, offset = start, was, resets = self.resets,
            "the topic was deleted and recreated; the committed offset is ignored, and the partition starts at the beginning of \
             its log",
        );
    }

    /// Counts and logs a log that ends below the committed offset.
    pub(crate) fn log_end_below_commit(
        &mut self,
        topic: &str,
        partition: i32,
        committed: i64,
        end: i64,
    ) {
        self.resets += 1;
        tracing::error!(
            target: "kser_kafka",
            topic, partition, offset = committed, end, count = committed.abs_diff(end),
            "the log ends below the committed offset: it lost records that were done, or the offset was set by hand; the partition \
             continues where the log was truncated, or if that is not known, at its start",
        );
    }

    /// Counts and logs a truncated log that holds other records in place of records that were settled out of order.
    pub(crate) fn log_truncated(&mut self, topic: &str, partition: i32, offset: i64) {
        self.resets += 1;
        tracing::error!(
            target: "kser_kafka",
            topic, partition, offset,
            "the log was truncated: from this offset on it lost records that were done; the records that it has there now run",
        );
    }

    /// Counts and logs offsets that were deleted before their records were received.
    pub(crate) fn log_deleted(&mut self, topic: &str, partition: i32, start: i64, count: u64) {
        self.deleted += count;
        tracing::error!(
            target: "kser_kafka",
            topic, partition, count, offset = start,
            "records were deleted before they were received, by retention or by a tool; the partition continues at the start \
             of its log",
        );
    }
}
