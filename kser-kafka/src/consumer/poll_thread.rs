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
use crate::consumer::context::{Context, log_failure};
use crate::consumer::leave::{LEAVE, NotAdmitted, leave};
use crate::error::{code, failed};
use crate::health::HealthMonitor;
use crate::member::ArrivalOutcome;
use crate::offsets::log_resets::{self, LogResets};
use crate::offsets::recreated_topics::RecreatedTopics;
use crate::offsets::start;

/// How many messages are taken in one turn.
const POLL_BATCH: usize = 512;
/// The longest sleep of a turn without messages. The client rings when one comes: this is for what it does not ring for.
const SLEEP: Duration = Duration::from_millis(20);
/// The shortest sleep, when something is near that nobody rings for.
const NAP: Duration = Duration::from_millis(1);
/// How long nobody has to receive until the partitions are paused: a pause throws away what is fetched.
const PAUSE_AFTER: Duration = Duration::from_millis(500);
/// How long a partition of which cannot be read where it starts waits for the next try, and how long that may take.
const START_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));
/// How long the brokers are waited for at a goodbye.
const FINAL_COMMIT: Duration = Duration::from_secs(1);
/// The age of what the client says beside an error that it reports.
const ERROR_AGE: Duration = Duration::from_secs(1);
/// How long the last commit before a crash-like end is waited for.
const LAST_COMMIT: Duration = Duration::from_millis(500);

/// The thread that alone touches a consumer: it polls, commits, pauses, and never waits for a task.
pub(crate) struct PollThread {
    consumer: BaseConsumer<Context>,
    context: Arc<Context>,
    commit_schedule: CommitSchedule,
    next_start: Instant,
    health: HealthMonitor,
    /// The name of the member, if it has one.
    instance: Option<String>,
    log_resets: LogResets,
    recreated_topics: RecreatedTopics,
    crowded: Option<Instant>,
    /// All partitions are paused, since it is crowded.
    all_paused: bool,
    /// The group may rebalance in another way than the settings say.
    can_switch: bool,
}

/// Says whether nobody has received for so long that the partitions are paused.
fn is_long_crowded(crowded: Instant) -> bool {
    crowded.elapsed() >= PAUSE_AFTER
}

/// Why the thread ends.
enum EndReason {
    Closed(oneshot::Sender<Result<(), Error>>),
    Dropped,
    Failed(Error),
    NotAdmitted(NotAdmitted),
}

impl PollThread {
    pub(crate) fn new(
        consumer: BaseConsumer<Context>,
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

    /// Polls until the subscription ends. Returns why the group did not admit the member, if it is to be asked again with
    /// another client.
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
                // The client gives its partitions up one by one.
                let limit = commit::for_partitions(limit, partitions);
                let left = leave(self.consumer, limit);
                let _ = answer.send(said.and(left));
            }
            EndReason::Dropped => self.leave_after_failure(Error::Closed),
            EndReason::Failed(error) => self.leave_after_failure(error),
            EndReason::NotAdmitted(why) => {
                let all = self.context.member().partitions();
                self.drop_partitions(&all);
                // It is in no group.
                let _ = leave(self.consumer, LEAVE.1);
                return Some(why);
            }
        }
        // Dropping the client waits for the brokers: that is this thread's last.
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
        self.start_late_partitions();
        if let Some(error) = self.context.ended() {
            return Some(EndReason::Failed(error));
        }
        self.recreated_topics
            .look_if_due(&self.consumer, &self.context);
        self.log_resets.seek(&self.consumer, &self.context);
        if let Some(went_on) = self
            .commit_schedule
            .commit_if_due(&self.consumer, &self.context)
        {
            self.health.note_answer();
            fetched |= went_on;
        }
        self.apply_backpressure();
        if self.health.is_due() {
            self.health.commits_fail = self.commit_schedule.failing(&self.context);
            self.health.look(&self.context);
        }
        if !fetched {
            let member = self.context.member();
            let sleep = self.commit_schedule.every().clamp(NAP, SLEEP);
            let limit = match member.closing {
                // Nothing is due any more, and nobody rings when the last record is settled.
                true => NAP,
                false => member.until_next().unwrap_or(sleep).min(sleep),
            };
            drop(member);
            self.context.channel.wakeup.wait(limit);
        }
        None
    }

    /// Does what was asked for.
    fn handle_commands(&mut self) -> Option<EndReason> {
        let mut member = self.context.member();
        member.handle_settled(&self.context.channel);
        for (id, answer) in std::mem::take(&mut member.pending_commands.begun) {
            match member.begun(id) {
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
        member.look_at_timers();
        member.go_on();
        member.flush();
        None
    }

    /// Takes messages from the client. Says whether there were some.
    fn fetch(&mut self) -> Result<bool, EndReason> {
        let mut room = self.context.channel.room();
        self.crowded = match self.crowded {
            None if room == 0 => Some(monotonic()),
            // What is paused stays so until much is received: a pause costs what was fetched.
            Some(since) if is_long_crowded(since) && !self.context.channel.has_room() => {
                Some(since)
            }
            Some(since) if room == 0 => Some(since),
            _ => None,
        };
        match self.crowded {
            // Nothing comes but events, which must be served.
            Some(since) if is_long_crowded(since) => room = POLL_BATCH,
            Some(_) => return Ok(false),
            None => {}
        }
        let (mut fetched, mut nothing) = (0, 0);
        // After an event that is no message, a message may be there without a ring.
        while fetched < POLL_BATCH.min(room) && nothing < 2 {
            let polled = self.consumer.poll(Duration::ZERO);
            self.log_resets.look(&self.consumer, &self.context);
            match polled {
                Some(Ok(message)) => {
                    fetched += 1;
                    let arrived = self.context.member().arrived(&message);
                    if arrived == ArrivalOutcome::WentBack {
                        self.recreated_topics.look(&self.consumer, &self.context);
                        let (log_resets, context) = (&mut self.log_resets, &self.context);
                        log_resets.begin_anew(&self.consumer, context, &message);
                    }
                }
                Some(Err(error)) => self.handle_error(error)?,
                None => nothing += 1,
            }
        }
        if nothing == 2 {
            self.context.drained();
        }
        if fetched > 0 {
            self.health.note_answer();
        }
        Ok(fetched > 0)
    }

    /// Looks at an error that the client reports. Most of them pass.
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
                // The classic client tries again by itself.
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
                self.health.refused(&error);
                Ok(())
            }
        }
    }

    /// Starts partitions that could not be started when they came.
    fn start_late_partitions(&mut self) {
        let member = self.context.member();
        let all_started = member.active().all(|it| it.position.is_fetched);
        drop(member);
        // A lost assignment would count as a live one after that.
        if all_started || monotonic() < self.next_start || self.consumer.assignment_lost() {
            return;
        }
        start::start_late(&self.context, &self.consumer, START_AGAIN.1);
        self.next_start = monotonic() + START_AGAIN.0;
    }

    /// Pauses what has no room, and resumes what has some again.
    fn apply_backpressure(&mut self) {
        let all = self.crowded.is_some_and(is_long_crowded);
        let (mut pause, mut resume) = (TopicPartitionList::new(), TopicPartitionList::new());
        let mut member = self.context.member();
        if all != self.all_paused {
            self.all_paused = all;
            member.activate_all();
        }
        let pressure = member.weigh();
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
        member.rest();
        drop(member);
        if pause.count() > 0 {
            log_failure("pausing partitions failed", self.consumer.pause(&pause));
        }
        if resume.count() > 0 {
            log_failure("resuming partitions failed", self.consumer.resume(&resume));
        }
    }

    /// Writes a goodbye for all partitions.
    ///
    /// The group is left by dropping the client, which is asked for nothing before: a client that has unsubscribed, and is
    /// closed while it still gives its partitions up, does not tell the brokers that it leaves.
    fn commit_finally(&self) -> Result<(), Error> {
        let mut member = self.context.member();
        let all = member.partitions();
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

    /// Leaves as a crash does: what is settled is written, and nothing else.
    fn leave_after_failure(&mut self, error: Error) {
        let changes = commit::changes(&mut self.context.member());
        if !self.consumer.assignment_lost()
            && let Err(error) = commit::write_all(&self.consumer, &changes, LAST_COMMIT)
        {
            tracing::debug!(target: "kser_kafka", %error, "the last commit is not confirmed");
        }
        let all = self.context.member().partitions();
        self.drop_partitions(&all);
        self.context.channel.finish(error);
    }

    /// Has nothing any more. From now on nothing is written.
    fn drop_partitions(&self, partitions: &[(String, i32)]) {
        self.context.abandoned.store(true, Ordering::Release);
        let mut member = self.context.member();
        for (topic, partition) in partitions {
            member.gone(topic, *partition);
        }
        member.end_revoked();
    }
}
