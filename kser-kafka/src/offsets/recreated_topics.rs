use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;

use crate::clock::monotonic;
use crate::consumer::context::MemberContext;
use crate::offsets::log_bounds::{self, TopicPartition};
use crate::offsets::start;

/// The interval at which topic ids are compared, and the timeout of reading them.
const LOOK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));
/// The pause before a retry.
const AGAIN: Duration = Duration::from_millis(500);

/// Detects topics that are recreated while they are read: deleted, and created again under the same name.
#[derive(Debug)]
pub(crate) struct RecreatedTopics {
    next: Instant,
}

impl RecreatedTopics {
    pub(crate) fn new() -> Self {
        Self {
            next: monotonic() + LOOK.0,
        }
    }

    /// Compares topic ids if it is time.
    pub(crate) fn look_if_due(
        &mut self,
        consumer: &BaseConsumer<MemberContext>,
        context: &MemberContext,
    ) {
        if monotonic() >= self.next {
            self.look(consumer, context);
        }
    }

    /// Compares topic ids with those at the start of their partitions. The partitions of a recreated topic restart at the
    /// beginning of their logs, to which the client has to seek.
    pub(crate) fn look(&mut self, consumer: &BaseConsumer<MemberContext>, context: &MemberContext) {
        self.next = monotonic() + LOOK.0;
        let mut member = context.member();
        let started = member.assignments().filter(|it| it.topic_id.is_some());
        let topics: BTreeSet<_> = started.map(|it| it.topic.as_str().to_owned()).collect();
        drop(member);
        let ids = match context.ids.read(consumer, &topics, LOOK.1) {
            Ok(ids) => ids,
            Err(error) => {
                tracing::debug!(target: "kser_kafka", %error, "comparing the ids of topics failed; retrying in 5s");
                return;
            }
        };
        let mut member = context.member();
        let anew = member.assignments().filter(|it| {
            let id = ids.get(it.topic.as_str()).copied().flatten();
            id.is_some() && it.topic_id.is_some() && it.topic_id != id
        });
        let anew: Vec<TopicPartition> = anew
            .map(|it| (it.topic.as_str().to_owned(), it.partition))
            .collect();
        drop(member);
        if anew.is_empty() {
            return;
        }
        let bounds = log_bounds::read(consumer, &anew, monotonic() + LOOK.1);
        if bounds.len() < anew.len() {
            self.next = monotonic() + AGAIN;
        }
        let mut member = context.member();
        for ((topic, partition), bounds) in bounds {
            let Some(id) = ids.get(&topic).copied().flatten() else {
                continue;
            };
            let progress = start::begin_at(context, bounds.start, Some(id));
            member.restart_recreated(&topic, partition, id, bounds.start, progress);
        }
    }
}
