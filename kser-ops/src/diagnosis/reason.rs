use std::time::Duration;

use kser::presence::TaskProgress;
use kser::run::Timestamp;
use serde::Serialize;

use super::RunFacts;
use crate::duration::Spoken;
use crate::text::clean;

/// The most characters of an error in the text of a reason.
const LONGEST: usize = 200;

/// The reason why a run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
#[expect(
    clippy::exhaustive_enums,
    reason = "the list is closed, so that each reason has its command"
)]
pub enum Reason {
    /// The run has succeeded.
    Succeeded,
    /// A step has failed for good.
    Failed,
    /// The run was cancelled.
    Cancelled,
    /// The run was cancelled, and an attempt that had begun goes on.
    Cancelling {
        /// The consumer that runs it.
        on: String,
    },
    /// An attempt at the step runs.
    Runs {
        /// The consumer that runs it.
        on: String,
        /// The time for which it has run, as far as that is known.
        #[serde(serialize_with = "crate::json::seconds", rename = "for_seconds")]
        since: Option<Duration>,
        /// The progress that the handler has reported.
        progress: Option<TaskProgress>,
    },
    /// The consumer that runs the step does not announce itself any more.
    LeaseOfSilent {
        /// The consumer.
        on: String,
        /// The age of its last announcement.
        #[serde(serialize_with = "crate::json::span", rename = "silent_seconds")]
        silent: Duration,
    },
    /// The consumer that runs the step is not among those that announce themselves.
    LeaseOfUnknown {
        /// The consumer.
        on: String,
    },
    /// The lease of the consumer that had begun the step is over.
    LeaseOver {
        /// The consumer.
        on: String,
    },
    /// The step waits for a report from outside.
    External,
    /// The report of an external step has not come in time.
    ExternalOverdue,
    /// The step waits for its retry.
    BackOff {
        /// The time of the retry.
        #[serde(serialize_with = "crate::json::at")]
        until: Timestamp,
    },
    /// The step does not begin before a time.
    Delayed {
        /// The time.
        #[serde(serialize_with = "crate::json::at")]
        until: Timestamp,
    },
    /// The topic of the step does not exist.
    MissingTopic,
    /// The topic of the step has no consumer.
    NoConsumer,
    /// All consumers of the topic are silent.
    AllSilent {
        /// The number of consumers.
        consumers: usize,
        /// The age of the latest announcement.
        #[serde(serialize_with = "crate::json::span", rename = "silent_seconds")]
        silent: Duration,
    },
    /// The consumers of the topic have not registered the entrypoint.
    NotRegistered {
        /// The number of consumers that are alive.
        consumers: usize,
        /// The version of one of them.
        version: Option<String>,
    },
    /// All consumers that could run the step stop.
    AllStopping {
        /// The number of consumers.
        consumers: usize,
    },
    /// All consumers that could run the step are paused.
    AllPaused {
        /// The first of them.
        on: String,
        /// The operator that has paused it, with the reason; `None` where its program has.
        by: Option<String>,
        /// The number of consumers.
        consumers: usize,
    },
    /// The consumers that could run the step are not in their group.
    NotInGroup {
        /// The first of them.
        on: String,
        /// The reason that it tells.
        why: String,
    },
    /// A partition of the topic is held.
    Held {
        /// The consumer that holds it.
        on: String,
        /// The partition.
        partition: i32,
        /// The reason that it tells.
        why: String,
    },
    /// All consumers that could run the step run as many tasks as they may.
    Full {
        /// The number of their places.
        places: usize,
        /// The time for which the oldest of the tasks has run.
        #[serde(serialize_with = "crate::json::span", rename = "oldest_seconds")]
        oldest: Duration,
    },
    /// The message of the step waits in its topic.
    Queued {
        /// The number of records of the topic that are not settled.
        records: u64,
    },
    /// The run has changed a moment ago, and the message of the step is on its way.
    Moves,
    /// The message of the step is not in its topic.
    Lost,
    /// The consumers and the topic cannot be asked.
    Unknown,
}

impl Reason {
    /// Returns the reason for people, in one line.
    pub(super) fn text(&self, facts: &RunFacts) -> String {
        let step = step(facts);
        let (topic, group) = (clean(&facts.topic, LONGEST), clean(&facts.group, LONGEST));
        let until = |at: Timestamp| Spoken(at.since(facts.now));
        let lease = facts.lease.as_ref().map(|(_, until)| *until);
        let lease_left = lease.map_or(Duration::ZERO, |at| at.since(facts.now));
        let lease_left = Spoken(lease_left);
        match self {
            Self::Succeeded => "the run has succeeded".to_owned(),
            Self::Failed => {
                let after = match facts.attempts {
                    0 => String::new(),
                    attempts => format!(" after {}", many(u64::from(attempts), "attempt")),
                };
                format!("{step} failed{after}{}", error(facts))
            }
            Self::Cancelled => format!("the run was cancelled before {step}"),
            Self::Cancelling { on } => {
                let on = clean(on, LONGEST);
                format!("the run was cancelled, and the attempt at {step} on {on} has not ended")
            }
            Self::Runs {
                on,
                since,
                progress,
            } => {
                let on = clean(on, LONGEST);
                let since = since.map(|since| format!(" for {}", Spoken(since)));
                let progress = progress
                    .as_ref()
                    .map(|progress| format!(" ({})", shown(progress)));
                let (since, progress) = (since.unwrap_or_default(), progress.unwrap_or_default());
                format!("{step} runs on {on}{since}{progress}")
            }
            Self::LeaseOfSilent { on, silent } => {
                let (on, silent) = (clean(on, LONGEST), Spoken(*silent));
                format!(
                    "{step} began on {on}, which has been silent for {silent}; its lease ends in {lease_left}"
                )
            }
            Self::LeaseOfUnknown { on } => {
                let on = clean(on, LONGEST);
                format!(
                    "{step} began on {on}, which does not announce itself; its lease ends in {lease_left}"
                )
            }
            Self::LeaseOver { on } => {
                let on = clean(on, LONGEST);
                let over = Spoken(lease.map_or(Duration::ZERO, |at| facts.now.since(at)));
                format!(
                    "{step} began on {on}, whose lease ended {over} ago; another consumer of {group} takes it over"
                )
            }
            Self::External => {
                format!("{step} waits for a report from outside, for at most {lease_left} more")
            }
            Self::ExternalOverdue => {
                let over = Spoken(lease.map_or(Duration::ZERO, |at| facts.now.since(at)));
                format!(
                    "{step} waits for a report from outside, which is {over} late; a consumer of {group} ends it"
                )
            }
            Self::BackOff { until: at } => format!(
                "{step} is tried again in {} after {}{}",
                until(*at),
                many(u64::from(facts.attempts), "attempt"),
                error(facts)
            ),
            Self::Delayed { until: at } => format!("{step} begins in {}", until(*at)),
            Self::MissingTopic => format!("{step} waits: topic {topic} does not exist"),
            Self::NoConsumer => {
                format!("{step} waits: no consumer of {group} receives from {topic}")
            }
            Self::AllSilent { consumers, silent } => format!(
                "{step} waits: {} of {group} {} silent, the last for {}",
                many(count(*consumers), "consumer"),
                is_or_are(*consumers),
                Spoken(*silent)
            ),
            Self::NotRegistered { consumers, version } => {
                let version = version
                    .as_ref()
                    .map(|version| format!(" (version {})", clean(version, LONGEST)));
                let entrypoint = clean(&facts.entrypoint, LONGEST);
                format!(
                    "{step} waits: none of {} of {group}{} has registered {entrypoint}",
                    many(count(*consumers), "consumer"),
                    version.unwrap_or_default()
                )
            }
            Self::AllStopping { consumers } => {
                format!(
                    "{step} waits: {} of {group} stop",
                    many(count(*consumers), "consumer")
                )
            }
            Self::AllPaused { on, by, consumers } => {
                let by = by.as_ref().map(|by| format!(", by {}", clean(by, LONGEST)));
                format!(
                    "{step} waits: {} of {group} {} paused, such as {}{}",
                    many(count(*consumers), "consumer"),
                    is_or_are(*consumers),
                    clean(on, LONGEST),
                    by.unwrap_or_default()
                )
            }
            Self::NotInGroup { on, why } => {
                let (on, why) = (clean(on, LONGEST), clean(why, LONGEST));
                format!("{step} waits: {on} is not in {group}: {why}")
            }
            Self::Held { on, partition, why } => {
                let (on, why) = (clean(on, LONGEST), clean(why, LONGEST));
                format!("{step} waits: {on} holds partition {topic}/{partition}: {why}")
            }
            Self::Full { places, oldest } => format!(
                "{step} waits: all {} of {group} are taken, one for {}",
                many(count(*places), "place"),
                Spoken(*oldest)
            ),
            Self::Queued { records } => {
                format!(
                    "{step} waits among {} of {topic} that are not settled",
                    many(*records, "record")
                )
            }
            Self::Moves => format!("the message of {step} is on its way to {topic}"),
            Self::Lost => {
                let sweep = facts.check_at.map(until);
                let sweep = sweep.map(|left| format!("; a sweep publishes it again in {left}"));
                format!(
                    "the message of {step} is not in {topic}{}",
                    sweep.unwrap_or_default()
                )
            }
            Self::Unknown => format!(
                "{step} waits for a consumer of {group}; neither Kafka nor consumers can be asked"
            ),
        }
    }

    /// Returns the command that shows more, or mends it.
    pub(super) fn command(&self, facts: &RunFacts) -> String {
        let (run, at) = (quoted(facts.run.as_str()), facts.position);
        match self {
            Self::Succeeded => format!("kser runs outcome {run}"),
            Self::Failed | Self::Cancelled => format!("kser runs resume {run}"),
            Self::Cancelling { .. } | Self::Runs { .. } | Self::LeaseOver { .. } | Self::Moves => {
                format!("kser runs watch {run}")
            }
            Self::Delayed { .. } | Self::Unknown => format!("kser runs show {run}"),
            Self::External | Self::ExternalOverdue => {
                format!("kser runs report {run} --step {at} --outcome JSON")
            }
            Self::BackOff { .. } | Self::Lost => format!("kser runs retry {run} --step {at}"),
            Self::MissingTopic => "kser topics".to_owned(),
            Self::AllPaused {
                on, by: Some(_), ..
            } => format!("kser consumers resume {}", quoted(on)),
            Self::LeaseOfSilent { on, .. }
            | Self::AllPaused { on, .. }
            | Self::NotInGroup { on, .. }
            | Self::Held { on, .. } => format!("kser consumers show {}", quoted(on)),
            Self::LeaseOfUnknown { .. }
            | Self::NoConsumer
            | Self::AllSilent { .. }
            | Self::NotRegistered { .. }
            | Self::AllStopping { .. }
            | Self::Full { .. } => "kser consumers ls".to_owned(),
            Self::Queued { .. } => format!("kser groups {}", quoted(&facts.group)),
        }
    }
}

fn step(facts: &RunFacts) -> String {
    let entrypoint = clean(&facts.entrypoint, LONGEST);
    match facts.position {
        0 => format!("the build of {entrypoint}"),
        at => format!("step {at} ({entrypoint})"),
    }
}

fn error(facts: &RunFacts) -> String {
    let error = facts.error.as_ref().filter(|error| !error.is_empty());
    error.map_or_else(String::new, |error| format!(": {}", clean(error, LONGEST)))
}

fn shown(progress: &TaskProgress) -> String {
    let text = match progress.text.as_str() {
        "" => String::new(),
        text => format!(" {text}"),
    };
    match progress.total {
        Some(total) => format!("{} of {total}{text}", progress.done),
        None => format!("{}{text}", progress.done),
    }
}

fn many(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

const fn is_or_are(number: usize) -> &'static str {
    match number {
        1 => "is",
        _ => "are",
    }
}

/// Quotes a word for a shell, unless it is a plain one.
fn quoted(word: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./:@".contains(character);
    match !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", clean(word, 1024).replace('\'', "'\\''")),
    }
}
