//! Logs that are cut while they are read: by retention at their start, by a leader that has less, or made anew.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};

use crate::bounds::{self, Place};
use crate::clock::monotonic;
use crate::context::Context;

/// How long the brokers are waited for.
const ANSWER: Duration = Duration::from_secs(1);
/// How long after a failure the same is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Has the client and the progress of partitions agree after their logs were cut.
#[derive(Debug)]
pub(crate) struct Resets {
    /// When bounds are asked for again.
    next_look: Instant,
    /// When the client is sent back again.
    next_seek: Instant,
}

impl Resets {
    pub(crate) fn new() -> Self {
        Self {
            next_look: monotonic(),
            next_seek: monotonic(),
        }
    }

    /// Asks where logs begin, if the client says that it went to the start of one. To be called before a record is taken
    /// that was polled: those behind the reset come later than that it was said.
    pub(crate) fn look(&mut self, consumer: &BaseConsumer<Context>, context: &Context) {
        if !context.heard_reset() || monotonic() < self.next_look {
            return;
        }
        let mut member = context.member();
        let fetched = member.assignments().filter(|it| it.position.is_fetched);
        let fetched = fetched.map(|it| (it.topic.as_str().to_owned(), it.partition));
        let fetched: Vec<Place> = fetched.collect();
        drop(member);
        let found = bounds::read(consumer, &fetched, monotonic() + ANSWER);
        if found.len() == fetched.len() {
            context.forget_reset();
        }
        self.next_look = monotonic() + AGAIN;
        let mut member = context.member();
        for ((topic, partition), bounds) in found {
            if let Some(assignment) = member.of(&topic, partition) {
                assignment.position.log_starts(bounds.start);
            }
        }
    }

    /// Begins a partition anew whose log went back: its offsets mean other records now. Goes back to the oldest record that
    /// is not done, since nobody else runs it.
    pub(crate) fn begin_anew(
        &mut self,
        consumer: &BaseConsumer<Context>,
        context: &Context,
        message: &BorrowedMessage<'_>,
    ) {
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        let mut member = context.member();
        let assignment = member.of(topic, partition);
        // The topic was made anew, and the client is to go to the start.
        if assignment.is_some_and(|assignment| assignment.position.rewind.is_some()) {
            return;
        }
        let Some(first) = member.went_back(topic, partition, offset) else {
            return;
        };
        if first == offset {
            member.arrived(message);
            return;
        }
        drop(member);
        self.next_seek = monotonic();
        self.seek(consumer, context);
    }

    /// Sends the client back where that is still to be done.
    pub(crate) fn seek(&mut self, consumer: &BaseConsumer<Context>, context: &Context) {
        if monotonic() < self.next_seek {
            return;
        }
        let mut member = context.member();
        let back = member.assignments().filter_map(|assignment| {
            let to = assignment.position.rewind?;
            Some((
                assignment.id,
                assignment.topic.clone(),
                assignment.partition,
                to,
            ))
        });
        let back: Vec<_> = back.collect();
        drop(member);
        for (id, topic, partition, offset) in back {
            let sought = consumer.seek(topic.as_str(), partition, Offset::Offset(offset), ANSWER);
            match sought {
                Ok(()) => {
                    let mut member = context.member();
                    let assignment = member.assignments().find(|it| it.id == id);
                    if let Some(assignment) = assignment {
                        assignment.position.rewind = None;
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        target: "kser_kafka",
                        %topic, partition, offset, %error,
                        "going back to the oldest record that is not done failed; retrying in 500ms",
                    );
                    self.next_seek = monotonic() + AGAIN;
                }
            }
        }
    }
}
