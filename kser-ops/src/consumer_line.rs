use std::collections::BTreeMap;
use std::time::Duration;

use kser::consumer::{HeldPartition, Instance};
use kser::message::{Name, TaskId, Topic};
use kser::presence::{AnnouncedConsumer, Command, PresentState, RunningTask, TaskProgress};
use kser::run::{RunId, Timestamp};
use serde::Serialize;

/// A consumer that has announced itself, as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConsumerLine {
    /// The id: the first group, and the name or a random id.
    pub id: String,
    /// The name over restarts, if there is one.
    pub instance: Option<Instance>,
    /// The state, one of a closed list: `running`, `paused`, `stopping`, `silent`, and `unknown` for one of a later version.
    pub state: &'static str,
    /// The age of the announcement.
    #[serde(serialize_with = "crate::json::span", rename = "age_seconds")]
    pub age: Duration,
    /// The groups that the consumer joins.
    pub groups: Vec<String>,
    /// The topics that the consumer receives from, with the prefix.
    pub topics: Vec<Topic>,
    /// The version of the program, as the program tells it.
    pub version: Option<String>,
    /// The version of kser.
    pub kser: String,
    /// The start of the consumer, by its time of day.
    #[serde(serialize_with = "crate::json::at")]
    pub started: Timestamp,
    /// The time of the announcement, by the time of day of the consumer.
    #[serde(serialize_with = "crate::json::at")]
    pub announced: Timestamp,
    /// Whether operators may pause, resume and drain the consumer.
    pub remote_control: bool,
    /// The pause by an operator.
    pub paused_by: Option<PauseLine>,
    /// The number of tasks that run at once at most.
    pub places: usize,
    /// The running attempts, the oldest first.
    pub running: Vec<RunningLine>,
    /// The number of running attempts beyond those that are listed.
    pub more_running: usize,
    /// The names of the registered entrypoints, in order.
    pub entrypoints: Vec<Name>,
    /// The number of entrypoints beyond those that are listed.
    pub more_entrypoints: usize,
    /// The assigned partitions of each topic, as ranges: `0-5,8`.
    pub assigned: BTreeMap<Topic, String>,
    /// The number of records that the consumer holds.
    pub held: usize,
    /// The size of these records in bytes.
    pub held_bytes: usize,
    /// The number of held records that wait in memory for a moment, such as that of a retry.
    pub parked: usize,
    /// The partitions from which the consumer gets no records, or whose results it cannot publish, with the reason.
    pub held_partitions: Vec<HeldPartition>,
    /// The number of such partitions beyond those that are listed.
    pub more_held_partitions: usize,
    /// The groups that the consumer should be in and is not, with the reason.
    pub not_in_group: BTreeMap<String, String>,
    /// The topics of the consumer that do not exist.
    pub missing: Vec<Topic>,
    /// The number of records in the assigned partitions that are not done; `None` where it is not known.
    pub lag: Option<u64>,
    /// The age of the oldest received record that is not done.
    #[serde(
        serialize_with = "crate::json::seconds",
        rename = "oldest_waiting_seconds"
    )]
    pub oldest_waiting: Option<Duration>,
}

/// An attempt that runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunningLine {
    /// The entrypoint.
    pub entrypoint: Name,
    /// The id of the task.
    pub uuid: TaskId,
    /// The run of which it is a step.
    pub run: Option<RunId>,
    /// The position of the step, from 1; 0 is the build.
    pub step: Option<u32>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The time for which it has run.
    #[serde(serialize_with = "crate::json::span", rename = "running_seconds")]
    pub running: Duration,
    /// The progress that its handler has reported.
    pub progress: Option<TaskProgress>,
}

/// The pause of a consumer by an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PauseLine {
    /// The person or program that has asked for it.
    pub actor: String,
    /// The reason that the actor gives.
    pub reason: String,
    /// The time of the command.
    #[serde(serialize_with = "crate::json::at")]
    pub at: Timestamp,
    /// The end of the pause.
    #[serde(serialize_with = "crate::json::at")]
    pub until: Timestamp,
}

impl PauseLine {
    fn new(command: &Command) -> Self {
        Self {
            actor: command.actor.clone(),
            reason: command.reason.clone(),
            at: command.at,
            until: command.until,
        }
    }
}

impl ConsumerLine {
    /// Describes a consumer by its announcement.
    #[must_use]
    pub fn new(consumer: &AnnouncedConsumer) -> Self {
        let presence = consumer.presence.clone();
        let running = presence.running.iter();
        let running = running.map(|task| RunningLine::new(consumer, task));
        Self {
            state: state(consumer),
            age: consumer.age,
            running: running.collect(),
            id: presence.id,
            instance: presence.instance,
            groups: presence.groups,
            topics: presence.topics,
            version: presence.version,
            kser: presence.kser,
            started: presence.started,
            announced: presence.at,
            remote_control: presence.remote_control,
            paused_by: presence.paused_by.as_ref().map(PauseLine::new),
            places: presence.places,
            more_running: presence.more_running,
            entrypoints: presence.entrypoints,
            more_entrypoints: presence.more_entrypoints,
            assigned: presence.assigned,
            held: presence.held,
            held_bytes: presence.held_bytes,
            parked: presence.parked,
            held_partitions: presence.held_partitions,
            more_held_partitions: presence.more_held_partitions,
            not_in_group: presence.not_in_group,
            missing: presence.missing,
            lag: presence.lag,
            oldest_waiting: presence.oldest_waiting_ms.map(Duration::from_millis),
        }
    }

    /// Says whether the consumer has this id, or this name.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let instance = self.instance.as_ref();
        self.id == name || instance.is_some_and(|instance| instance.to_string() == name)
    }
}

impl RunningLine {
    fn new(consumer: &AnnouncedConsumer, task: &RunningTask) -> Self {
        Self {
            entrypoint: task.entrypoint.clone(),
            uuid: task.uuid.clone(),
            run: task.run.clone(),
            step: task.step,
            attempt: task.attempt,
            running: consumer.running_for(task),
            progress: task.progress.clone(),
        }
    }
}

const fn state(consumer: &AnnouncedConsumer) -> &'static str {
    if consumer.is_silent {
        return "silent";
    }
    match consumer.presence.state {
        PresentState::Running => "running",
        PresentState::Paused => "paused",
        PresentState::Stopping => "stopping",
        _ => "unknown",
    }
}
