pub(crate) mod broker_queries;
mod presence;
pub(crate) mod statistics;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kser_core::{Health, HeldPartition, NotInGroup, Topic};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;

use self::broker_queries::BrokerQueries;
use self::presence::{Presence, Standing};
use self::survey::Survey;
use crate::assignment::Assignment;
use crate::clock::monotonic;
use crate::consumer::context::MemberContext;
use crate::partition_list::list;
use crate::progress::PartitionProgress;

/// The interval at which the health is updated.
const LOOK: Duration = Duration::from_secs(1);
/// The time for which a refused join, or an error about the brokers, is given as a reason.
const RECENT: Duration = Duration::from_secs(15);
/// The time after a pause in which the fetch offset of the client may be ahead of the records that it has fetched.
const SETTLE: Duration = Duration::from_secs(5);
/// The time after which a client without an answer of a broker starts again. The answers to heartbeats and fetches come more often.
const SILENCE: Duration = Duration::from_secs(10);
/// The interval at which the ends of logs are read: for the lag of the topics, and for delay topics.
const ENDS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Updates the health of a member from time to time.
#[derive(Debug)]
pub(crate) struct HealthMonitor {
    next: Instant,
    answered_at: Instant,
    survey: Survey,
    presence: Presence,
    is_kip848: bool,
    refusal: Option<(Instant, String)>,
    /// The number of partitions at the last update.
    n_assigned: usize,
    /// The assignments that were paused recently, and when.
    paused: BTreeMap<u64, Instant>,
    stuck_after: Duration,
    /// The assignments that are stuck, which has been logged.
    stuck: BTreeSet<u64>,
    /// The reason why the last commit is not confirmed, if it is not.
    pub(crate) commits_fail: Option<String>,
}

impl HealthMonitor {
    /// Makes a monitor for a member with these settings. The health names those of the topics that are missing.
    pub(crate) fn new(
        settings: &ClientConfig,
        broker_queries: Arc<BrokerQueries>,
        topics: Vec<Topic>,
        stuck_after: Duration,
    ) -> Self {
        Self {
            next: monotonic(),
            answered_at: monotonic(),
            survey: Survey::new(broker_queries, topics),
            presence: Presence::default(),
            is_kip848: settings.get("group.protocol") == Some("consumer"),
            refusal: None,
            n_assigned: 0,
            paused: BTreeMap::new(),
            stuck_after,
            stuck: BTreeSet::new(),
            commits_fail: None,
        }
    }

    /// Notes that a broker answered.
    pub(crate) fn note_answer(&mut self) {
        self.answered_at = monotonic();
    }

    /// Makes the next query for missing topics come soon.
    pub(crate) fn look_soon(&mut self) {
        self.survey.look_soon();
    }

    /// Notes an error of the client, which may explain why the member is not in its group.
    pub(crate) fn note_refusal(&mut self, error: &KafkaError) {
        self.refusal = Some((monotonic(), error.to_string()));
    }

    pub(crate) fn is_due(&self) -> bool {
        monotonic() >= self.next
    }

    /// Updates the health.
    pub(crate) fn look(&mut self, context: &MemberContext) {
        self.next = monotonic() + LOOK;
        let mut health = Health::default();
        health.group = Some(context.group.clone());
        let mut lag = Some(0);
        let mut oldest = None;
        let (mut stuck_now, mut newly_stuck) = (BTreeSet::new(), Vec::new());
        for assignment in context.member().assignments() {
            let stuck = self.stuck_because(assignment, context);
            let (topic, partition) = (&assignment.topic, assignment.partition);
            let reason = held_because(assignment, self.commits_fail.as_deref());
            if let Some(reason) = &stuck {
                stuck_now.insert(assignment.id);
                if !self.stuck.contains(&assignment.id) {
                    newly_stuck.push((topic.clone(), partition, reason.clone()));
                }
            }
            if let Some(reason) = reason.or(stuck) {
                let held = HeldPartition::new(topic.clone(), partition, reason);
                health.held.push(held);
            }
            if assignment.waits_for.is_some() {
                health.delays.push((topic.clone(), partition));
                continue;
            }
            health.assigned.push((topic.clone(), partition));
            let behind = self.lag_of(assignment, context);
            lag = lag.zip(behind).map(|(lag, behind)| lag + behind);
            oldest = oldest.into_iter().chain(assignment.oldest()).min();
            let suspects = assignment
                .progress
                .as_ref()
                .map_or(0, PartitionProgress::n_suspects);
            health.suspects += suspects;
        }
        self.stuck = stuck_now;
        say_stuck(&context.group, &newly_stuck);
        let member = context.member();
        (health.deleted, health.resets) = (member.deleted, member.resets);
        drop(member);
        self.paused.retain(|_, at| at.elapsed() < SETTLE);
        health.lag = lag.filter(|_| !health.assigned.is_empty());
        health.oldest_waiting = oldest.map(|oldest| context.member().wall().since(oldest));
        let has_partitions = !health.assigned.is_empty() || !health.delays.is_empty();
        health.not_in_group = self
            .look_at_group(context, has_partitions)
            .into_iter()
            .collect();
        let group = (self.is_kip848 && !has_partitions).then_some(&*context.group);
        // Under KIP-848 the partitions of a deleted topic are revoked without an error.
        if health.assigned.len() < self.n_assigned {
            self.survey.look_soon();
        }
        self.n_assigned = health.assigned.len();
        // A member has partitions of one kind only.
        let (partitions, every) = match health.assigned.is_empty() {
            false => (&health.assigned, ENDS.0),
            true => (&health.delays, ENDS.1),
        };
        self.survey.turn(partitions, every, group);
        let answered = context.answered_at().max(Some(self.answered_at));
        self.note_silence(context, answered);
        let answered = answered.max(self.survey.answered_at());
        health.last_heard = answered.map(|at| at.elapsed());
        health.missing = self.survey.missing();
        context.channel.set_health(health);
    }

    /// Has the client start again that has heard no broker for long. It reports that all its brokers are down only if it knows one.
    fn note_silence(&self, context: &MemberContext, answered: Option<Instant>) {
        if answered.is_some_and(|at| monotonic().saturating_duration_since(at) >= SILENCE) {
            context.broker_errors.rebootstrap.note_outage();
        }
    }

    /// Explains why a partition is stuck: its log has more records, and none of them has arrived for long.
    fn stuck_because(
        &self,
        assignment: &mut Assignment,
        context: &MemberContext,
    ) -> Option<String> {
        let (topic, partition) = (assignment.topic.as_str(), assignment.partition);
        // The client may have read the marker of a transaction, which is not delivered as a record.
        let fetched = context.fetches_from(topic, partition);
        let read = fetched.max(assignment.position.next());
        let has_more = read < self.survey.end_of(topic, partition);
        let reads = assignment.position.is_fetched && !assignment.paused;
        let has_more = has_more && reads;
        let limit = self.stuck_after;
        let is_stuck = assignment.position.is_stuck(has_more, monotonic(), limit);
        let next = assignment.position.next().filter(|_| is_stuck)?;
        let error = context.broker_errors.recent(RECENT);
        let error = error.map_or_else(String::new, |error| format!("; the client says: {error}"));
        Some(format!(
            "its log has more from offset {next} on, and the client has read none of it for {} s{error}",
            limit.as_secs(),
        ))
    }

    fn lag_of(&mut self, assignment: &Assignment, context: &MemberContext) -> Option<u64> {
        let (topic, partition) = (assignment.topic.as_str(), assignment.partition);
        if assignment.paused {
            self.paused.insert(assignment.id, monotonic());
        }
        // A pause discards fetched records that were not polled yet: they are fetched again.
        let fetched = match self.paused.contains_key(&assignment.id) {
            true => None,
            false => context.fetched_to(topic, partition),
        };
        assignment.lag(fetched, self.survey.end_of(topic, partition)?)
    }

    fn look_at_group(
        &mut self,
        context: &MemberContext,
        has_partitions: bool,
    ) -> Option<NotInGroup> {
        let client = context.group_state();
        let recent = self.refusal.as_ref();
        let refusal = recent.filter(|(at, _)| at.elapsed() < RECENT);
        let trouble = context.broker_errors.recent(RECENT);
        let standing = Standing {
            has_partitions,
            client: client.as_ref(),
            is_kip848: self.is_kip848,
            n_classic: self.survey.n_classic(),
            refusal: refusal.map(|(_, refusal)| &**refusal),
            trouble: trouble.as_deref(),
        };
        let why = standing.why_outside();
        let look = self
            .presence
            .look(monotonic(), why.is_some(), has_partitions);
        let outside = why.zip(look.0);
        let outside = outside.map(|(why, since)| NotInGroup::new(&*context.group, since, why));
        if let Some(warning) = look.1 {
            presence::warn(warning, &context.group, outside.as_ref());
        }
        outside
    }
}

/// Logs that partitions are stuck, in one line, since a failure of a broker may concern thousands.
fn say_stuck(group: &str, stuck: &[(Topic, i32, String)]) {
    if let Some((_, _, reason)) = stuck.first() {
        let partitions = stuck.iter();
        let partitions = partitions.map(|(topic, partition, _)| (topic.as_str(), *partition));
        tracing::error!(
            target: "kser_kafka",
            group, partitions = list(partitions), reason,
            "reading partitions failed: no record of them arrives; the reason is that of the first",
        );
    }
}

/// Explains why no record of a partition is delivered; `None` if records are.
fn held_because(assignment: &Assignment, commits_fail: Option<&str>) -> Option<String> {
    let Some(progress) = &assignment.progress else {
        return Some(
            "its committed offset, or the bounds of its log, cannot be read yet".to_owned(),
        );
    };
    if let Some(offset) = assignment.position.rewind {
        return Some(format!(
            "its log went back or may have been truncated, and the client has to seek to offset {offset}"
        ));
    }
    if let Some(why) = commits_fail.filter(|_| assignment.wants_commit()) {
        return Some(format!("records wait for a commit, which fails: {why}"));
    }
    if let Some(reason) = assignment.forward_failures.reason() {
        return Some(reason);
    }
    // A delay topic with many records is normal.
    if !assignment.paused || assignment.waits_for.is_some() {
        return None;
    }
    let waiting = assignment.n_waiting();
    Some(match (progress.is_full(), progress.first_not_done()) {
        (true, Some(offset)) => {
            format!(
                "its commit metadata has no room for more records settled out of order until offset {offset} is settled"
            )
        }
        _ if assignment.is_heavy || !assignment.has_room() => {
            format!(
                "{waiting} records wait for their due time, or behind another record of their key"
            )
        }
        _ => "the consumer does not receive the fetched records".to_owned(),
    })
}

#[cfg(test)]
mod tests;
