use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kser_core::Topic;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::clock::monotonic;
use crate::commit::{self, Committed};
use crate::heard::Heard;
use crate::link::Link;
use crate::listing::list;
use crate::member::Member;
use crate::progress::{Author, Budget, PartitionProgress};
use crate::request_size::RequestSize;
use crate::statistics::{GroupState, Statistics};

/// How long a hook of a rebalance waits for the brokers.
const HOOK: Duration = Duration::from_secs(1);

/// How many characters of a reason are shown.
const REASON: usize = 200;

/// What the client calls back: all on the thread that polls it.
pub(crate) struct Context {
    member: Mutex<Member>,
    pub(crate) link: Arc<Link>,
    pub(crate) heard: Heard,
    pub(crate) group: String,
    reset: String,
    pub(crate) revoke_grace: Duration,
    author: Author,
    budget: Budget,
    pub(crate) request_size: RequestSize,
    /// The member left without a goodbye: nothing is to be written for it any more.
    pub(crate) abandoned: AtomicBool,
    known: Mutex<Known>,
}

/// What the statistics and the log of the client say.
#[derive(Debug, Default)]
struct Known {
    /// When a broker was heard of last.
    heard: Option<Instant>,
    /// Why the last commit was refused.
    refusal: Option<String>,
    statistics: Statistics,
    /// Since the statistics came, all that was fetched before was taken.
    is_drained: bool,
}

impl Context {
    pub(crate) fn new(
        member: Member,
        link: Arc<Link>,
        heard: Heard,
        group: String,
        config: &crate::KafkaConfig,
    ) -> Self {
        Self {
            member: Mutex::new(member),
            link,
            heard,
            group,
            reset: config.reset().to_owned(),
            revoke_grace: config.revoke_grace,
            author: Author::new(),
            budget: config.metadata,
            request_size: RequestSize::new(),
            abandoned: AtomicBool::new(false),
            known: Mutex::default(),
        }
    }

    pub(crate) fn member(&self) -> MutexGuard<'_, Member> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the offset below which no record of a partition is to come any more, as far as the client has said it.
    pub(crate) fn fetched_to(&self, topic: &str, partition: i32) -> Option<i64> {
        let known = self.known();
        let fetched = known.statistics.fetched.get(topic, partition);
        fetched.filter(|_| known.is_drained)
    }

    /// Notes that all that was fetched is taken.
    pub(crate) fn drained(&self) {
        self.known().is_drained = true;
    }

    /// Returns how the client stands with the group, if it has said so.
    pub(crate) fn group_state(&self) -> Option<GroupState> {
        self.known().statistics.group.clone()
    }

    /// Returns when a broker was heard of last, heartbeats included, if the client has said so.
    pub(crate) fn heard_at(&self) -> Option<Instant> {
        self.known().heard
    }

    /// Returns why the brokers refused the last commit that they refused, once the client has said so in its log: it
    /// reports the errors of commits that are not waited for nowhere else.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.known().refusal.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let committed = commit::read(consumer, partitions, HOOK);
        if let Err(error) = &committed {
            tracing::warn!(target: "kser_kafka", %error, "partitions wait: their offsets cannot be read");
        }
        let committed = committed.unwrap_or_default();
        let (mut list, mut without) = (TopicPartitionList::new(), Vec::new());
        let until = monotonic() + HOOK;
        let mut member = self.member();
        for element in partitions.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let Some(assignment) = member.assigned(topic, partition) else {
                continue;
            };
            let mut entry = list.add_partition(topic, partition);
            let Some(committed) = committed.get(&(topic.to_owned(), partition)) else {
                continue;
            };
            if committed.offset.is_none() && assignment.waits_for.is_none() {
                without.push((assignment.topic.clone(), partition));
            }
            let mut progress = self.take_over(committed);
            if !committed.metadata.is_empty()
                && let Some((_, end)) = ends(consumer, topic, partition, until)
            {
                progress.log_ended(end);
            }
            assignment.progress = Some(progress);
            if let Some(offset) = committed.offset {
                assignment.starts_at(offset);
                if let Err(error) = entry.set_offset(Offset::Offset(offset)) {
                    tracing::error!(target: "kser_kafka", %error, topic, partition, "no offset is set");
                }
            }
        }
        drop(member);
        self.look_where_it_starts(consumer, &without);
        let assigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&list),
            _ => consumer.assign(&list),
        };
        say("partitions cannot be assigned", assigned);
        // The pause of an earlier assignment of the same partition is still there.
        say("partitions cannot be resumed", consumer.resume(&list));
        tracing::debug!(target: "kser_kafka", group = self.group, partitions = list.count(), "assigned");
    }

    /// Makes the progress of a partition of what its last owner wrote.
    pub(crate) fn take_over(&self, committed: &Committed) -> PartitionProgress {
        let metadata = &committed.metadata;
        PartitionProgress::take_over(committed.offset, metadata, self.author, self.budget)
    }

    /// Looks where the log begins of which the group has no offset, and says where records are: it is new here, or its
    /// offsets expired.
    fn look_where_it_starts(&self, consumer: &BaseConsumer<Self>, without: &[(Topic, i32)]) {
        let mut found = Vec::new();
        let until = monotonic() + HOOK;
        for (topic, partition) in without {
            let Some((low, high)) = ends(consumer, topic.as_str(), *partition, until) else {
                continue;
            };
            if let Some(assignment) = self.member().of(topic.as_str(), *partition) {
                assignment.log_start = Some(low);
            }
            if high > low {
                found.push((topic.as_str(), *partition));
            }
        }
        if !found.is_empty() {
            tracing::warn!(
                target: "kser_kafka",
                "group {} has no offset in {}, for the first time or because it expired: `auto.offset.reset` is {}",
                self.group, list(found), self.reset,
            );
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let lost = consumer.assignment_lost() || self.abandoned.load(Ordering::Acquire);
        let all: Vec<_> = partitions
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()))
            .collect();
        if !lost {
            self.wait_for_given(&all);
        }
        let mut member = self.member();
        for (topic, partition) in &all {
            if let Some(assignment) = member.of(topic, *partition) {
                self.link.end(assignment.id);
            }
        }
        // What was settled until now is in these orders; from now on settling says that the record is lost.
        member.obey_settled(&self.link);
        if lost {
            self.say_what_is_lost(&all);
        } else {
            let goodbye = commit::goodbye(&mut member, &all);
            match commit::write_all(consumer, &goodbye, HOOK) {
                Ok(durable) if durable.iter().all(|durable| *durable) => {}
                Ok(_) => self.say_no_goodbye(&all, &"the brokers refuse it"),
                Err(error) => self.say_no_goodbye(&all, &error),
            }
        }
        for (topic, partition) in &all {
            member.gone(topic, *partition);
        }
        drop(member);
        let unassigned = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
            _ => consumer.unassign(),
        };
        if !self.abandoned.load(Ordering::Acquire) {
            say("partitions cannot be given up", unassigned);
        }
        tracing::debug!(target: "kser_kafka", group = self.group, partitions = all.len(), lost, "revoked");
    }

    fn say_no_goodbye(&self, partitions: &[(String, i32)], why: &dyn Display) {
        tracing::warn!(
            target: "kser_kafka",
            group = self.group, %why, partitions = list(partitions.iter().map(place)),
            "partitions are left without a goodbye, and what ran may count as a crash",
        );
    }

    fn say_what_is_lost(&self, partitions: &[(String, i32)]) {
        if !self.abandoned.load(Ordering::Acquire) {
            tracing::warn!(
                target: "kser_kafka",
                "group {} goes on without this member, which was not heard of in time: {} are lost without a \
                 goodbye, and what was not committed runs again",
                self.group, list(partitions.iter().map(place)),
            );
        }
    }

    /// Lets what runs end, for a while.
    fn wait_for_given(&self, partitions: &[(String, i32)]) {
        let until = monotonic() + self.revoke_grace;
        loop {
            let mut member = self.member();
            member.obey_settled(&self.link);
            let given = member.recall(|assignment| {
                partitions.iter().any(|(topic, partition)| {
                    assignment.partition == *partition && assignment.topic.as_str() == topic
                })
            });
            drop(member);
            let left = until.saturating_duration_since(monotonic());
            if given == 0 || left.is_zero() {
                return;
            }
            self.link.bell.wait(left.min(Duration::from_millis(1)));
        }
    }
}

fn place(partition: &(String, i32)) -> (&str, i32) {
    (&partition.0, partition.1)
}

/// Asks where the log of a partition begins and ends. All that are asked about share one limit, since there may be many,
/// and without an answer nothing is wrong.
fn ends(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    partition: i32,
    until: Instant,
) -> Option<(i64, i64)> {
    let left = until.saturating_duration_since(monotonic());
    match left.is_zero() {
        true => None,
        false => consumer.fetch_watermarks(topic, partition, left).ok(),
    }
}

/// Logs what the client could not do.
pub(crate) fn say(what: &str, done: KafkaResult<()>) {
    if let Err(error) = done {
        tracing::error!(target: "kser_kafka", %error, "{what}");
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "COMMITFAIL" {
            // It begins with the name of the client's thread, and ends with a list of partitions.
            let (_, text) = message.split_once("]: ").unwrap_or(("", message));
            self.known().refusal = Some(text.chars().take(REASON).collect());
        }
        self.heard.log(level, facility, message);
    }

    fn stats_raw(&self, json: &[u8]) {
        let Some(statistics) = Statistics::read(json) else {
            tracing::debug!(target: "kser_kafka", group = self.group, "reading the statistics of the client failed");
            return;
        };
        let mut known = self.known();
        if let Some(idle) = statistics.idle {
            known.heard = monotonic().checked_sub(idle);
        }
        known.statistics = statistics;
        known.is_drained = false;
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.heard.error(error, reason);
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assign(consumer, partitions)
            }
            _ => self.revoke(consumer, partitions),
        }
    }
}
