use std::time::Duration;

use kser_core::Timestamp;

use crate::clock::Time;
use crate::delay::{WaitHeader, WaitPlan};

/// The time beside a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    /// Whether a broker wrote it; else its producer did.
    pub(crate) by_broker: bool,
}

/// The wait of a record in a topic of waits.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) header: WaitHeader,
    pub(crate) plan: WaitPlan,
    /// Whether the age of the record was known for the plan. Else it is taken to be new, since no wait may be too short.
    pub(crate) is_measured: bool,
    stamp: Stamp,
    arrived: Timestamp,
    length: Duration,
}

impl Wait {
    /// Plans the wait of a record that arrives now, in a topic whose records wait at most so long.
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

    /// Plans again by the age of the record. Says whether that is known.
    ///
    /// The plan is made once: what is measured later, when a clock was stepped, does not change it.
    pub(crate) fn measure(&mut self, time: &Time) -> bool {
        let now = time.now();
        let age = match self.stamp.by_broker {
            true => time.broker.age(self.stamp.at, now),
            false => Some(time.wall().since(self.stamp.at)),
        };
        if let Some(age) = age {
            // Its age when it arrived.
            let age = age.saturating_sub(now.since(self.arrived));
            self.plan = WaitPlan::new(self.header, age, self.arrived, self.length, time);
            self.is_measured = true;
        }
        self.is_measured
    }
}
