//! The delayed records of a member: it forwards them, and measures the brokers' clock to know their age.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kser_core::{Error, Record, Timestamp};

use super::Member;
use crate::channel::RecordId;
use crate::delay;
use crate::transaction::{Answers, EndedRecord};

/// The shortest interval of measurements of the brokers' clock.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

impl Member {
    /// Publishes a delayed record to its next topic. The record is done once it is published.
    pub(super) fn forward_delayed(&self, id: RecordId, record: Record) {
        if let Some(transactions) = &self.transactions {
            let answers = Answers::Forward;
            let outputs = Arc::from([record]);
            return transactions.hand_in(EndedRecord {
                id,
                outputs,
                answers,
            });
        }
        let channel = Arc::clone(&self.channel);
        self.publisher
            .send(record, move |published| match published {
                Ok(()) => drop(channel.mark_done(id)),
                Err(error) => channel.report_unforwarded(id, error),
            });
    }

    /// Keeps a delayed record that could not be forwarded, and schedules a retry.
    pub(super) fn keep_unforwarded(&mut self, id: RecordId, error: &Error) {
        let now = self.now();
        self.active.insert(id.assignment);
        let Some(assignment) = self.assignments.get_mut(&id.assignment) else {
            return;
        };
        if self.closing {
            return assignment.forget_unreceived(id.offset);
        }
        if let Some((pause, tries)) = assignment.park_unforwarded(id.offset, error) {
            let due = now + pause;
            self.timers.push(Reverse((due, id.assignment, id.offset)));
            let to = assignment.waits_for.as_ref().map(|(topic, _)| topic);
            if let Some(to) = to.filter(|to| self.log_limiter.may_log(to, now)) {
                let (topic, partition, offset) =
                    (&assignment.topic, assignment.partition, id.offset);
                let error: &dyn std::error::Error = error;
                tracing::warn!(
                    target: "kser_kafka",
                    %topic, partition, offset, error, tries, retry_in = ?pause,
                    "forwarding a delayed record to {to} failed; it stays in its delay topic",
                );
            }
        }
    }

    /// Measures the brokers' clock if the age of a record is unknown, and plans the delay of such records once it is measured.
    pub(super) fn measure_clock(&mut self, now: Timestamp) {
        let publisher = Arc::clone(&self.publisher);
        let mut asked = None;
        let mut planned = Vec::new();
        self.each_active(|assignment| {
            if assignment.unmeasured().is_none() {
                return;
            }
            let next = assignment.measure(&publisher.time).into_iter();
            planned.extend(next.map(|(offset, next)| (assignment.id, offset, next)));
            asked = asked.take().or_else(|| assignment.unmeasured().cloned());
        });
        for (id, offset, next) in planned {
            self.carry_out(id, offset, next);
        }
        let Some(topic) = asked else { return };
        if now < self.measure_at || self.measuring.swap(true, Ordering::AcqRel) {
            return;
        }
        self.measure_at = now + MEASURE_EVERY;
        let (measuring, channel) = (Arc::clone(&self.measuring), Arc::clone(&self.channel));
        publisher.send(delay::probe(topic), move |sent| {
            if let Err(error) = sent {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(target: "kser_kafka", error, "measuring the clock of the brokers failed; delayed records may be late");
            }
            measuring.store(false, Ordering::Release);
            channel.wakeup.wake();
        });
    }
}
