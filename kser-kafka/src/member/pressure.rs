use crate::assignment::Assignment;

/// The limit of the records that a member holds and cannot deliver yet, in bytes. Above it, the partitions with most of them
/// are paused. The inbox and the dispatcher of a consumer have limits of their own.
const WAITING: usize = 32 << 20;

/// The memory that the records of a member take that cannot be delivered yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pressure {
    n_partitions: usize,
    bytes: usize,
}

impl Pressure {
    pub(crate) const fn new(n_partitions: usize, bytes: usize) -> Self {
        Self {
            n_partitions,
            bytes,
        }
    }

    /// Says whether partitions may have to be paused or resumed: at half of the limit.
    pub(crate) const fn is_near(&self) -> bool {
        self.bytes >= WAITING / 2
    }

    /// Says whether a partition should be paused: the member is above its limit, and the partition above its share of it. A
    /// paused partition is resumed below half of that.
    pub(crate) fn weighs_on(&self, assignment: &Assignment) -> bool {
        let limit = match assignment.paused {
            true => WAITING / 2,
            false => WAITING,
        };
        let share = limit / self.n_partitions.max(1);
        self.bytes >= limit && assignment.waiting_bytes() >= share.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use kser_clock::SystemClock;
    use kser_core::headers::WAIT_MS;
    use kser_core::{Record, Topic};

    use super::*;
    use crate::clock::Time;
    use crate::delay::wait::Stamp;
    use crate::progress::{MetadataBudget, PartitionProgress, WriterId};

    const MIB: usize = 1 << 20;

    /// Makes a partition of a delay topic.
    fn partition(id: u64) -> Assignment {
        let topic = Topic::new("t").unwrap();
        let waits_for = Some((topic.clone(), Duration::from_secs(60)));
        let mut assignment = Assignment::new(id, topic, 0, waits_for);
        let writer = WriterId::new();
        let progress = PartitionProgress::take_over(Some(0), "", writer, MetadataBudget::default());
        assignment.begin(progress);
        assignment
    }

    /// Has a record of 1 MiB arrive that waits for a minute.
    fn arrive(assignment: &mut Assignment, offset: i64, time: &Time) {
        let record = Record::new(Topic::new("t").unwrap(), Some(vec![0; MIB].into()));
        let stamp = Stamp {
            at: time.wall(),
            by_broker: false,
        };
        assignment.receive(
            offset,
            stamp,
            record.with_header(WAIT_MS, "60000"),
            time,
            time.now(),
        );
    }

    fn weighs_on(assignments: &mut [Assignment]) -> Vec<bool> {
        let bytes = assignments.iter().map(Assignment::waiting_bytes).sum();
        let pressure = Pressure::new(assignments.len(), bytes);
        let paused = |assignment: &mut Assignment| {
            assignment.paused = pressure.weighs_on(assignment);
            assignment.paused
        };
        assignments.iter_mut().map(paused).collect()
    }

    #[test]
    fn partitions_with_many_bytes_of_waiting_records_are_paused() {
        let time = Time::new(Arc::new(SystemClock::new()));
        let mut all = [partition(1), partition(2)];
        arrive(&mut all[1], 0, &time);
        for offset in 0..30 {
            arrive(&mut all[0], offset, &time);
            assert_eq!(weighs_on(&mut all), [false, false], "{offset}");
        }
        arrive(&mut all[0], 30, &time);
        // The other partition has few bytes, and is not paused.
        assert_eq!(weighs_on(&mut all), [true, false]);
        let later = time.now() + Duration::from_secs(61);
        for offset in 0..15 {
            // The record is being forwarded to its topic now.
            all[0].handle_timer(offset, later);
            assert_eq!(weighs_on(&mut all), [true, false], "{offset}");
            all[0].mark_done(offset);
        }
        for offset in 15..17 {
            all[0].handle_timer(offset, later);
        }
        assert_eq!(weighs_on(&mut all), [false, false]);
        for offset in 17..31 {
            all[0].forget_unreceived(offset);
        }
        assert_eq!(all[0].waiting_bytes(), 0);
    }
}
