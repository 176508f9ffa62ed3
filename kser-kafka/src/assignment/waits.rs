//! The records of a delay topic.

use std::time::Duration;

use kser_core::{Error, Timestamp, Topic};

use super::record_state::RecordState;
use super::{Assignment, Next};
use crate::clock::Time;
use crate::delay::WaitHeader;

impl Assignment {
    /// Decides whether a delayed record stays in its topic, or is forwarded to the next delay topic or to its own topic. A due
    /// record is forwarded to its own topic rather than delivered here, since the assignor balances the partitions of that
    /// topic.
    pub(super) fn forward_or_wait(&mut self, offset: i64, now: Timestamp) -> Next {
        let Some(held) = self.held.get_mut(offset) else {
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

    /// Returns the topic if the age of some of its delayed records is unknown.
    pub(crate) fn unmeasured(&self) -> Option<&Topic> {
        (!self.unmeasured.is_empty()).then_some(&self.topic)
    }

    /// Plans the delayed records whose age was unknown. Returns those whose time in this topic has changed.
    pub(crate) fn measure(&mut self, time: &Time) -> Vec<(i64, Next)> {
        let mut next = Vec::new();
        for offset in std::mem::take(&mut self.unmeasured) {
            let Some(held) = self.held.get_mut(offset) else {
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
                next.push((offset, self.forward_or_wait(offset, time.now())));
            }
        }
        next
    }

    /// Keeps a delayed record that could not be forwarded. Returns the pause until the retry, and the number of attempts.
    pub(crate) fn park_unforwarded(
        &mut self,
        offset: i64,
        error: &Error,
    ) -> Option<(Duration, u32)> {
        let held = self.held.get_mut(offset)?;
        held.set_state(RecordState::Parked, &mut self.waiting_bytes);
        self.parked += 1;
        Some(self.forward_failures.note_failure(offset, error))
    }
}
