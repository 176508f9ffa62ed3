use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kser_core::Error;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;

use crate::broker_log::BrokerErrors;
use crate::channel::PollChannel;
use crate::clock::monotonic;
use crate::commit;
use crate::commit::request_size::RequestSize;
use crate::health::statistics::{GroupState, Statistics};
use crate::member::Member;
use crate::offsets::start;
use crate::offsets::topic_ids::TopicIds;
use crate::partition_list::list;
use crate::progress::{MetadataBudget, WriterId};

/// The timeout of requests in a rebalance callback.
const HOOK: Duration = Duration::from_secs(1);

/// The number of characters of a reason that are shown.
const REASON: usize = 200;

/// The callbacks of a client, and the state that they share with the poll thread. All run on that thread.
pub(crate) struct MemberContext {
    member: Mutex<Member>,
    pub(crate) channel: Arc<PollChannel>,
    pub(crate) broker_errors: BrokerErrors,
    pub(crate) group: String,
    pub(crate) reset: String,
    pub(crate) revoke_grace: Duration,
    pub(crate) writer: WriterId,
    pub(crate) budget: MetadataBudget,
    pub(crate) request_size: RequestSize,
    /// The member has left, so that nothing may be committed for it any more.
    pub(crate) abandoned: AtomicBool,
    client_report: Mutex<ClientReport>,
    /// The client has logged an offset reset, which was not handled yet.
    was_reset: AtomicBool,
    pub(crate) ids: TopicIds,
    /// The error that ends the member.
    ended: Mutex<Option<Error>>,
}

/// The last statistics of the client, and facts from its log.
#[derive(Debug, Default)]
struct ClientReport {
    /// The time of the last response of a broker.
    answered_at: Option<Instant>,
    /// The reason for the last refused commit.
    refusal: Option<String>,
    statistics: Statistics,
    /// All records that were fetched before the statistics have been polled.
    is_drained: bool,
}

impl MemberContext {
    pub(crate) fn new(
        member: Member,
        channel: Arc<PollChannel>,
        broker_errors: BrokerErrors,
        group: String,
        config: &crate::KafkaConfig,
    ) -> Self {
        Self {
            member: Mutex::new(member),
            channel,
            broker_errors,
            group,
            reset: config.reset().to_owned(),
            revoke_grace: config.revoke_grace,
            writer: WriterId::new(),
            budget: config.metadata,
            request_size: RequestSize::new(),
            abandoned: AtomicBool::new(false),
            client_report: Mutex::default(),
            was_reset: AtomicBool::new(false),
            ids: TopicIds::new(),
            ended: Mutex::default(),
        }
    }

    pub(crate) fn member(&self) -> MutexGuard<'_, Member> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the offset below which no further record of a partition arrives, if it is known from the statistics.
    pub(crate) fn fetched_to(&self, topic: &str, partition: i32) -> Option<i64> {
        let known = self.client_report();
        let fetched = known.statistics.fetched.get(topic, partition);
        fetched.filter(|_| known.is_drained)
    }

    /// Notes that all fetched records have been polled.
    pub(crate) fn note_drained(&self) {
        self.client_report().is_drained = true;
    }

    /// Returns the state of the client in its group, if it is known from the statistics.
    pub(crate) fn group_state(&self) -> Option<GroupState> {
        self.client_report().statistics.group.clone()
    }

    /// Returns the fetch offset of a partition in the last statistics.
    pub(crate) fn fetches_from(&self, topic: &str, partition: i32) -> Option<i64> {
        self.client_report()
            .statistics
            .fetched
            .get(topic, partition)
    }

    /// Returns the time of the last response of a broker, heartbeats included, if it is known from the statistics.
    pub(crate) fn answered_at(&self) -> Option<Instant> {
        self.client_report().answered_at
    }

    /// Returns the reason for the last refused commit. It is taken from the client's log, which is the only place where errors
    /// of asynchronous commits appear.
    pub(crate) fn refusal(&self) -> Option<String> {
        self.client_report().refusal.clone()
    }

    /// Says whether the client has logged an offset reset that was not handled yet.
    pub(crate) fn was_reset(&self) -> bool {
        self.was_reset.load(Ordering::Relaxed)
    }

    pub(crate) fn forget_reset(&self) {
        self.was_reset.store(false, Ordering::Relaxed);
    }

    /// Ends the member with an error, from a callback.
    pub(crate) fn end_with(&self, error: Error) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.get_or_insert(error);
    }

    /// Takes the error that ends the member, if there is one.
    pub(crate) fn take_end(&self) -> Option<Error> {
        self.ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn client_report(&self) -> MutexGuard<'_, ClientReport> {
        self.client_report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let mut member = self.member();
        for element in partitions.elements() {
            member.add_partition(element.topic(), element.partition());
        }
        member.end_revoked();
        drop(member);
        start::start_partitions(self, consumer, HOOK);
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let is_lost = || consumer.assignment_lost() || self.abandoned.load(Ordering::Acquire);
        let all: Vec<_> = partitions
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()))
            .collect();
        self.wait_for_given(&all, is_lost);
        // The group may have removed this member meanwhile. A commit after that is fatal for a member with an instance name.
        let lost = is_lost();
        // All members lose all partitions, and get most of them back.
        let is_eager = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Eager);
        let may_return = is_eager && !lost;
        let mut member = self.member();
        let mut fetched = TopicPartitionList::new();
        for (topic, partition) in &all {
            if let Some(assignment) = member.assignment_of(topic, *partition) {
                if !may_return {
                    self.channel.end(assignment.id);
                }
                if assignment.position.is_fetched {
                    fetched.add_partition(topic, *partition);
                }
            }
        }
        // Records that were settled until now are in these commands. From now on settling fails with `Error::Lost`.
        member.handle_settled(&self.channel);
        if lost {
            self.log_lost(&all);
        } else {
            let final_commits = commit::final_commits(&mut member, &all);
            match commit::write_all(consumer, &final_commits, HOOK) {
                Ok(durable) if durable.iter().all(|durable| *durable) => {}
                Ok(_) => {
                    let why = self.refusal();
                    let why = why.unwrap_or_else(|| "the brokers refuse it".to_owned());
                    self.log_no_final_commit(&all, &why);
                }
                Err(error) => self.log_no_final_commit(&all, &error),
            }
            if may_return {
                for entry in &final_commits {
                    member.revoke_for_return(&entry.topic, entry.partition, &entry.commit);
                }
            }
        }
        for (topic, partition) in &all {
            member.remove_partition(topic, *partition);
        }
        if lost {
            member.end_revoked();
        }
        drop(member);
        let unassigned = match consumer.rebalance_protocol() {
            // The call fails for all partitions if the client does not have one of them.
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(&fetched),
            _ => consumer.unassign(),
        };
        if !self.abandoned.load(Ordering::Acquire) {
            log_failure("unassigning partitions failed", unassigned);
        }
        tracing::debug!(target: "kser_kafka", group = self.group, partitions = all.len(), lost, "revoked");
    }

    fn log_no_final_commit(&self, partitions: &[(String, i32)], why: &dyn Display) {
        tracing::warn!(
            target: "kser_kafka",
            group = self.group, %why, partitions = list(partitions.iter().map(place)),
            "final commit failed; records that ran may count as crashed deliveries",
        );
    }

    fn log_lost(&self, partitions: &[(String, i32)]) {
        if !self.abandoned.load(Ordering::Acquire) {
            tracing::warn!(
                target: "kser_kafka",
                "group {} removed this member, which sent no heartbeat in time: {} are lost without a final \
                 commit; records that were not committed run again",
                self.group, list(partitions.iter().map(place)),
            );
        }
    }

    /// Waits until the records in progress are settled, at most for the grace period, unless the partitions are lost already.
    fn wait_for_given(&self, partitions: &[(String, i32)], is_lost: impl Fn() -> bool) {
        let until = monotonic() + self.revoke_grace;
        let mut member = self.member();
        let ids = partitions
            .iter()
            .filter_map(|(topic, partition)| Some(member.assignment_of(topic, *partition)?.id));
        let ids: BTreeSet<_> = ids.collect();
        drop(member);
        while !is_lost() {
            let mut member = self.member();
            member.handle_settled(&self.channel);
            let given = member.recall(|assignment| ids.contains(&assignment.id));
            drop(member);
            let left = until.saturating_duration_since(monotonic());
            if given == 0 || left.is_zero() {
                return;
            }
            self.channel.wakeup.wait(left.min(Duration::from_millis(1)));
        }
    }
}

fn place(partition: &(String, i32)) -> (&str, i32) {
    (&partition.0, partition.1)
}

/// Logs a failed call of the client.
pub(crate) fn log_failure(what: &str, done: KafkaResult<()>) {
    if let Err(error) = done {
        tracing::error!(target: "kser_kafka", %error, "{what}");
    }
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "COMMITFAIL" {
            // The line begins with the name of the client's thread, and ends with a list of partitions.
            let (_, text) = message.split_once("]: ").unwrap_or(("", message));
            self.client_report().refusal = Some(text.chars().take(REASON).collect());
        }
        if facility == "OFFSET" && level as i32 <= RDKafkaLogLevel::Warning as i32 {
            self.was_reset.store(true, Ordering::Relaxed);
        }
        self.broker_errors.log(level, facility, message);
    }

    fn stats_raw(&self, json: &[u8]) {
        let Some(statistics) = Statistics::read(json) else {
            tracing::debug!(target: "kser_kafka", group = self.group, "reading the statistics of the client failed");
            return;
        };
        let mut known = self.client_report();
        if let Some(idle) = statistics.idle {
            known.answered_at = monotonic().checked_sub(idle);
        }
        known.statistics = statistics;
        known.is_drained = false;
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.broker_errors.error(error, reason);
    }
}

impl ConsumerContext for MemberContext {
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
