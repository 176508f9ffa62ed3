use std::time::Duration;

use kser_core::Timestamp;

use crate::clock::Time;
use crate::delay::{WaitHeader, WaitPlan};

/// The timestamp of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    /// Whether a broker wrote it; otherwise the producer did.
    pub(crate) by_broker: bool,
}

/// The delay of a record in a delay topic.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) header: WaitHeader,
    pub(crate) plan: WaitPlan,
    /// Whether the plan uses the age of the record. Until it is known, the record counts as new, since no delay may be too
    /// short.
    pub(crate) is_measured: bool,
    stamp: Stamp,
    arrived: Timestamp,
    length: Duration,
}

impl Wait {
    /// Plans the delay of a record that arrives now in a delay topic with the time `length`.
    pub(crate) fn new(header: WaitHeader, stamp: Stamp, length: Duration, time: &Time) -> Self {
        let arrived = time.now();
        let mut wait = Self {
            header,
            plan: WaitPlan::new(header, Duration::ZERO, arrived, length, time),
            is_measured: !matches!(header, WaitHeader::Wait(_)),
            stamp,
            arrived,
            length,
        };
        if !wait.is_measured {
            wait.measure(time);
        }
        wait
    }

    /// Plans again with the age of the record. Returns whether the age is known.
    ///
    /// The plan is made once with the age: later measurements, after a step of a clock, do not change it.
    pub(crate) fn measure(&mut self, time: &Time) -> bool {
        let now = time.now();
        let age = match self.stamp.by_broker {
            true => time.broker.age(self.stamp.at, now),
            false => Some(time.wall().since(self.stamp.at)),
        };
        if let Some(age) = age {
            // The age at its arrival.
            let age = age.saturating_sub(now.since(self.arrived));
            self.plan = WaitPlan::new(self.header, age, self.arrived, self.length, time);
            self.is_measured = true;
        }
        self.is_measured
    }
}
