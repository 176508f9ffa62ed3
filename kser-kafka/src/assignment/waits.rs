//! The waiting records of a partition.

use std::time::Duration;

use kser_core::{Error, Timestamp, Topic};

use super::record_state::RecordState;
use super::{Assignment, Next};
use crate::clock::Time;
use crate::delay::WaitHeader;

impl Assignment {
    /// A record of a topic of waits: due, or to go on to the next such topic, or to stay. One that is due goes to its own
    /// topic, whose partitions are shared out evenly: those where records wait need not be.
    pub(super) fn look_at_wait(&mut self, offset: i64, now: Timestamp) -> Next {
        let Some(held) = self.held.get_mut(&offset) else {
            return Next::Nothing;
        };
        let Some(wait) = &held.wait else {
            return Next::Nothing;
        };
        if wait.header == WaitHeader::Probe {
            return Next::Done;
        }
        let until = wait.plan.until;
        if until > now {
            if held.state != RecordState::Parked {
                held.set_state(RecordState::Parked, &mut self.waiting_bytes);
                self.parked += 1;
            }
            return Next::Wait(until);
        }
        if held.state == RecordState::Parked {
            self.parked -= 1;
        }
        held.set_state(RecordState::Delivered, &mut self.waiting_bytes);
        Next::Forward(held.record.clone())
    }

    /// Says in which topic records wait whose age is not known.
    pub(crate) fn unmeasured(&self) -> Option<&Topic> {
        (!self.unmeasured.is_empty()).then_some(&self.topic)
    }

    /// Looks again at the records whose age was not known. Returns those that stay in their topic for another time.
    pub(crate) fn measure(&mut self, time: &Time) -> Vec<(i64, Next)> {
        let mut next = Vec::new();
        for offset in std::mem::take(&mut self.unmeasured) {
            let Some(held) = self.held.get_mut(&offset) else {
                continue;
            };
            let Some(wait) = &mut held.wait else {
                continue;
            };
            if !wait.measure(time) {
                self.unmeasured.insert(offset);
                continue;
            }
            held.record.not_before = Some(wait.plan.due);
            if held.state == RecordState::Parked {
                next.push((offset, self.look_at_wait(offset, time.now())));
            }
        }
        next
    }

    /// Keeps a waiting record that could not be sent on. Returns after which pause it is tried again, and how often it was.
    pub(crate) fn unsent(&mut self, offset: i64, error: &Error) -> Option<(Duration, u32)> {
        let held = self.held.get_mut(&offset)?;
        held.set_state(RecordState::Parked, &mut self.waiting_bytes);
        self.parked += 1;
        Some(self.forward_failures.failed(offset, error))
    }
}
