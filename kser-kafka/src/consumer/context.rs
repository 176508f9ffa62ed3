use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kser_core::Error;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult};

use crate::broker_log::BrokerErrors;
use crate::channel::PollChannel;
use crate::clock::monotonic;
use crate::commit::request_size::RequestSize;
use crate::health::statistics::{GroupState, Statistics};
use crate::member::Member;
use crate::offsets::topic_ids::TopicIds;
use crate::progress::{MetadataBudget, WriterId};
use crate::transaction::TransactionLink;

/// The number of characters of a reason that are shown.
const REASON: usize = 200;

/// The state that the callbacks of a client share with the poll thread. All callbacks run on that thread.
pub(crate) struct MemberContext {
    member: Mutex<Member>,
    pub(crate) channel: Arc<PollChannel>,
    pub(crate) broker_errors: BrokerErrors,
    pub(crate) group: String,
    pub(crate) reset: String,
    pub(crate) rebalance_wait: Duration,
    pub(crate) writer: WriterId,
    pub(crate) budget: MetadataBudget,
    pub(crate) request_size: RequestSize,
    /// The member has left, so that nothing may be committed for it any more.
    pub(crate) abandoned: AtomicBool,
    client_report: Mutex<ClientReport>,
    /// The client has logged an offset reset, which was not handled yet.
    was_reset: AtomicBool,
    pub(crate) ids: TopicIds,
    /// The transaction thread, with exactly-once delivery.
    pub(crate) transactions: Option<Arc<TransactionLink>>,
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
        let transactions = member.transactions.clone();
        Self {
            member: Mutex::new(member),
            channel,
            broker_errors,
            group,
            reset: config.reset().to_owned(),
            rebalance_wait: config.rebalance_wait(),
            writer: WriterId::new(),
            budget: config.metadata,
            request_size: RequestSize::new(),
            abandoned: AtomicBool::new(false),
            client_report: Mutex::default(),
            was_reset: AtomicBool::new(false),
            ids: TopicIds::new(),
            transactions,
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
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.take()
    }

    fn client_report(&self) -> MutexGuard<'_, ClientReport> {
        self.client_report
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
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
