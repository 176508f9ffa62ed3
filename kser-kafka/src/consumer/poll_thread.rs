use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kser_core::Error;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::oneshot;

use crate::clock::monotonic;
use crate::commit;
use crate::commit::schedule::CommitSchedule;
use crate::consumer::context::{MemberContext, log_failure};
use crate::consumer::leave::{LEAVE, NotAdmitted, leave};
use crate::error::{code, failed};
use crate::health::HealthMonitor;
use crate::offsets::log_resets::{self, LogResets};
use crate::offsets::recreated_topics::RecreatedTopics;
use crate::offsets::start;
use crate::transaction;

mod fetch;

/// The longest sleep between polls without messages. The client wakes the thread for new messages; this bound is for timers and
/// events without such a wake-up.
const SLEEP: Duration = Duration::from_millis(20);
/// The shortest sleep, if an event without a wake-up is near.
const NAP: Duration = Duration::from_millis(1);
/// The pause before the start offsets of partitions are read again, and the timeout of that.
const START_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));
/// The timeout of the final commit at a graceful leave.
const FINAL_COMMIT: Duration = Duration::from_secs(1);
/// The timeout of the final transaction at a graceful leave.
const FINAL_WINDOW: Duration = Duration::from_secs(3);
/// The greatest age of an error about the brokers that explains an error of the client.
const ERROR_AGE: Duration = Duration::from_secs(1);
/// The timeout of the last commit before the member leaves without a final commit.
const LAST_COMMIT: Duration = Duration::from_millis(500);

/// The only thread that uses a consumer: it polls, commits and pauses, and never waits for a task.
pub(crate) struct PollThread {
    consumer: BaseConsumer<MemberContext>,
    context: Arc<MemberContext>,
    commit_schedule: CommitSchedule,
    next_start: Instant,
    health: HealthMonitor,
    /// The instance name of the member, if it has one.
    instance: Option<String>,
    log_resets: LogResets,
    recreated_topics: RecreatedTopics,
    crowded: Option<Instant>,
    /// All partitions are paused, since the inbox is crowded.
    all_paused: bool,
    /// The assignor may be changed to that of the group.
    can_switch: bool,
}

/// The reason why the thread ends.
enum EndReason {
    Closed(oneshot::Sender<Result<(), Error>>),
    Dropped,
    Failed(Error),
    NotAdmitted(NotAdmitted),
}

impl PollThread {
    pub(crate) fn new(
        consumer: BaseConsumer<MemberContext>,
        commit_every: Duration,
        health: HealthMonitor,
        instance: Option<String>,
        can_switch: bool,
    ) -> Self {
        let context = Arc::clone(consumer.context());
        Self {
            consumer,
            context,
            commit_schedule: CommitSchedule::new(commit_every),
            next_start: monotonic(),
            health,
            instance,
            log_resets: LogResets::new(),
            recreated_topics: RecreatedTopics::new(),
            crowded: None,
            all_paused: false,
            can_switch,
        }
    }

    /// Polls until the subscription ends. Returns `Some` if the group did not admit the member, which has to join again with a
    /// new client.
    pub(crate) fn run(mut self) -> Option<NotAdmitted> {
        let end = loop {
            if let Some(end) = self.poll_once() {
                break end;
            }
        };
        match end {
            EndReason::Closed(answer) => {
                let partitions = self.context.member().partitions().len();
                let said = self.commit_finally();
                self.context.channel.finish(Error::Closed);
                let limit = if said.is_ok() { LEAVE.0 } else { LEAVE.1 };
                // The client unassigns its partitions one by one.
                let limit = commit::for_partitions(limit, partitions);
                let left = leave(self.consumer, limit);
                let _ = answer.send(said.and(left));
            }
            EndReason::Dropped => self.leave_after_failure(Error::Closed),
            EndReason::Failed(error) => self.leave_after_failure(error),
            EndReason::NotAdmitted(why) => {
                let all = self.context.member().partitions();
                self.drop_partitions(&all);
                // The client is in no group.
                let _ = leave(self.consumer, LEAVE.1);
                return Some(why);
            }
        }
        // Dropping the client may wait for the brokers, which is the last work of this thread.
        None
    }

    fn poll_once(&mut self) -> Option<EndReason> {
        let end = self.handle_commands();
        if end.is_some() {
            return end;
        }
        let mut fetched = match self.fetch() {
            Ok(fetched) => fetched,
            Err(end) => return Some(end),
        };
        self.context.member().flush();
        let rebootstrap = &self.context.broker_errors.rebootstrap;
        rebootstrap.start_if_due(self.consumer.client());
        self.start_late_partitions();
        if let Some(error) = self.context.take_end() {
            return Some(EndReason::Failed(error));
        }
        self.recreated_topics
            .look_if_due(&self.consumer, &self.context);
        self.log_resets.seek(&self.consumer, &self.context);
        let (consumer, context) = (&self.consumer, &self.context);
        let committed = match &context.transactions {
            None => self.commit_schedule.commit_if_due(consumer, context),
            Some(link) => self.commit_schedule.state_if_due(consumer, context, link),
        };
        if let Some(went_on) = committed {
            self.health.note_answer();
            fetched |= went_on;
        }
        self.apply_backpressure();
        if self.health.is_due() {
            self.health.commits_fail = match &self.context.transactions {
                None => self.commit_schedule.failure_reason(&self.context),
                Some(link) => link.failure_reason(),
            };
            self.health.look(&self.context);
        }
        if !fetched {
            let member = self.context.member();
            let sleep = self.commit_schedule.every().clamp(NAP, SLEEP);
            let limit = match member.closing {
                // No timer is due any more, and settling the last record does not wake the thread.
                true => NAP,
                false => member.until_next().unwrap_or(sleep).min(sleep),
            };
            drop(member);
            self.context.channel.wakeup.wait(limit);
        }
        None
    }

    /// Carries out the commands of the subscription.
    fn handle_commands(&mut self) -> Option<EndReason> {
        let mut member = self.context.member();
        member.handle_settled(&self.context.channel);
        for (id, answer) in std::mem::take(&mut member.pending_commands.begun) {
            match member.begin(id) {
                Ok(()) => self.commit_schedule.add_begin_request(id, answer),
                Err(lost) => drop(answer.send(Err(lost))),
            }
        }
        if member.pending_commands.dropped {
            return Some(EndReason::Dropped);
        }
        if member.pending_commands.close.is_some() {
            member.closing = true;
            if member.recall(|_| true) == 0 || member.pending_commands.at_once {
                return member.pending_commands.close.take().map(EndReason::Closed);
            }
        }
        member.handle_timers();
        member.deliver_pending();
        member.flush();
        None
    }

    /// Handles an error that the client reports. Most errors are temporary.
    fn handle_error(&mut self, error: KafkaError) -> Result<(), EndReason> {
        let group = &self.context.group;
        if let Some((code, reason)) = self.consumer.client().fatal_error() {
            if let (RDKafkaErrorCode::FencedInstanceId, Some(instance)) = (code, &self.instance) {
                let instance = instance.clone();
                return Err(EndReason::Failed(Error::Superseded { instance }));
            }
            match code {
                RDKafkaErrorCode::UnreleasedInstanceId => {
                    return Err(EndReason::NotAdmitted(NotAdmitted::InstanceHeld));
                }
                // With the classic protocol the client retries by itself.
                RDKafkaErrorCode::GroupMaxSizeReached => {
                    return Err(EndReason::NotAdmitted(NotAdmitted::GroupFull));
                }
                _ => {}
            }
            let what = format!("a member of group {group} failed: {reason}");
            return Err(EndReason::Failed(failed(
                what,
                None,
                KafkaError::MessageConsumptionFatal(code),
            )));
        }
        match code(&error) {
            Some(RDKafkaErrorCode::AutoOffsetReset) => {
                let client_error = self.context.broker_errors.recent(ERROR_AGE);
                let where_to = log_resets::out_of_range(
                    &self.consumer,
                    &self.context,
                    client_error.as_deref(),
                );
                let what = format!(
                    "group {group} has no offset that can be used: {where_to}, and `auto.offset.reset` is `error`"
                );
                Err(EndReason::Failed(failed(what, client_error, error)))
            }
            Some(RDKafkaErrorCode::InconsistentGroupProtocol) if self.can_switch => {
                Err(EndReason::NotAdmitted(NotAdmitted::OtherRebalance))
            }
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::InvalidSessionTimeout
                | RDKafkaErrorCode::UnsupportedAssignor
                | RDKafkaErrorCode::InconsistentGroupProtocol,
            ) => Err(EndReason::Failed(failed(
                format!("joining group {group}"),
                None,
                error,
            ))),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                self.health.look_soon();
                Ok(())
            }
            _ => {
                tracing::debug!(target: "kser_kafka", group, %error, "the client reports an error");
                self.health.note_refusal(&error);
                Ok(())
            }
        }
    }

    /// Starts partitions that could not be started when they were assigned.
    fn start_late_partitions(&mut self) {
        let member = self.context.member();
        let all_started = member.active().all(|it| it.position.is_fetched);
        drop(member);
        // An assignment call would make a lost assignment look like a live one.
        if all_started || monotonic() < self.next_start || self.consumer.assignment_lost() {
            return;
        }
        start::start_late(&self.context, &self.consumer, START_AGAIN.1);
        self.next_start = monotonic() + START_AGAIN.0;
    }

    /// Pauses the partitions without room for more records, and resumes those with room.
    fn apply_backpressure(&mut self) {
        let all = self.crowded.is_some_and(fetch::is_long_crowded);
        let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
        let mut member = self.context.member();
        if all != self.all_paused {
            self.all_paused = all;
            member.activate_all();
        }
        let pressure = member.measure_pressure();
        member.each_active(|assignment| {
            assignment.is_heavy = pressure.weighs_on(assignment);
            let is_full = assignment.is_heavy
                || match assignment.paused {
                    true => !assignment.has_room(),
                    false => assignment.is_full(),
                };
            let (topic, partition) = (assignment.topic.as_str(), assignment.partition);
            match (assignment.paused, is_full || all) {
                (false, true) => drop(pause.add_partition(topic, partition)),
                (true, false) => drop(resume.add_partition(topic, partition)),
                _ => return,
            }
            assignment.paused = is_full || all;
        });
        member.deactivate_idle();
        drop(member);
        if pause.count() > 0 {
            log_failure("pausing partitions failed", self.consumer.pause(&pause));
        }
        if resume.count() > 0 {
            log_failure("resuming partitions failed", self.consumer.resume(&resume));
        }
    }

    /// Writes the final commits of all partitions.
    ///
    /// Dropping the client leaves the group. It must not unsubscribe before: a client that is closed while it still unassigns
    /// its partitions does not tell the brokers that it leaves.
    fn commit_finally(&self) -> Result<(), Error> {
        let mut member = self.context.member();
        let all = member.partitions();
        if let Some(link) = &self.context.transactions {
            drop(member);
            let (consumer, context) = (&self.consumer, &self.context);
            let is_committed = consumer.assignment_lost()
                || transaction::finish_partitions(link, consumer, context, &all, FINAL_WINDOW);
            self.drop_partitions(&all);
            return match is_committed {
                true => Ok(()),
                false => Err(Error::TimedOut {
                    what: "the final transaction of the group",
                }),
            };
        }
        let final_commits = commit::final_commits(&mut member, &all);
        drop(member);
        let written = match self.consumer.assignment_lost() {
            true => Ok(Vec::new()),
            false => commit::write_all(&self.consumer, &final_commits, FINAL_COMMIT),
        };
        self.drop_partitions(&all);
        let durable = written.map_err(|error| failed("writing the final commit", None, error))?;
        match durable.iter().all(|durable| *durable) {
            true => Ok(()),
            false => Err(Error::TimedOut {
                what: "the final commit to the group",
            }),
        }
    }

    /// Leaves without a final commit, as after a crash. Settled records are committed.
    fn leave_after_failure(&mut self, error: Error) {
        let changes = commit::changes(&mut self.context.member());
        if self.context.transactions.is_none()
            && !self.consumer.assignment_lost()
            && let Err(error) = commit::write_all(&self.consumer, &changes, LAST_COMMIT)
        {
            tracing::debug!(target: "kser_kafka", %error, "the last commit is not confirmed");
        }
        let all = self.context.member().partitions();
        self.drop_partitions(&all);
        self.context.channel.finish(error);
    }

    /// Removes all partitions. From now on nothing is committed.
    fn drop_partitions(&self, partitions: &[(String, i32)]) {
        self.context.abandoned.store(true, Ordering::Release);
        let mut member = self.context.member();
        for (topic, partition) in partitions {
            member.remove_partition(topic, *partition);
        }
        member.end_revoked();
    }
}

#[cfg(test)]
mod tests;
