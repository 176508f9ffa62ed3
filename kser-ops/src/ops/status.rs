use std::time::Duration;

use kser::run::{RunFilter, Status, Timestamp};
use serde::Serialize;

use crate::duration::Spoken;
use crate::error::OpsError;
use crate::ops::topics::TopicLine;
use crate::ops::{Ops, Part};

/// The age of a waiting record from which on its topic needs a hand.
const LATE: Duration = Duration::from_secs(300);

/// The time before the deletion of a dead letter from which on its topic needs a hand.
const SOON: Duration = Duration::from_secs(24 * 3600);

/// A summary of everything, on one screen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The time of day.
    #[serde(serialize_with = "crate::json::at")]
    pub now: Timestamp,
    /// Kafka as it was found.
    pub kafka: Part,
    /// The state store as it was found.
    pub store: Part,
    /// The work topics; `None` without Kafka.
    pub topics: Option<Vec<TopicLine>>,
    /// The runs; `None` without a store.
    pub runs: Option<RunCounts>,
    /// The points that need a hand, the most urgent first.
    pub needs: Vec<Need>,
}

/// The number of runs of a store that have not succeeded. Each number is exact below [`RunCounts::MOST`], and means so many or more at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RunCounts {
    /// The number of runs that have not ended.
    pub open: u64,
    /// The number of runs that have failed.
    pub failed: u64,
    /// The number of runs that were cancelled.
    pub cancelled: u64,
}

impl RunCounts {
    /// The largest number.
    pub const MOST: u64 = 1000;

    async fn read(ops: &Ops) -> Result<Self, OpsError> {
        let count = async |status| {
            let filter = RunFilter::default().with_status(status);
            ops.count_runs(&filter, Self::MOST).await
        };
        let (pending, running) = (count(Status::Pending).await?, count(Status::Running).await?);
        Ok(Self {
            open: (pending + running).min(Self::MOST),
            failed: count(Status::Failed).await?,
            cancelled: count(Status::Cancelled).await?,
        })
    }
}

/// A point that needs a hand, with the command that shows more or mends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Need {
    /// The point, one of a closed list: `kafka_failed`, `store_failed`, `letters_deleted_soon`, `late`,
    /// `letters`, `runs_failed`.
    pub kind: &'static str,
    /// The point, for people.
    pub text: String,
    /// The command.
    pub command: String,
}

impl Need {
    fn new(kind: &'static str, text: String, command: String) -> Self {
        Self {
            kind,
            text,
            command,
        }
    }
}

impl Ops {
    /// Summarizes everything. The part of a backend that does not answer is left out, and the summary says why.
    ///
    /// # Errors
    ///
    /// [`OpsError::Kser`] when a backend fails that had answered at the start.
    pub async fn status(&self) -> Result<Summary, OpsError> {
        let topics = match self.kafka() {
            Part::Open { .. } => Some(self.topics().await?),
            _ => None,
        };
        let runs = match self.store() {
            Part::Open { .. } => Some(RunCounts::read(self).await?),
            _ => None,
        };
        let mut summary = Summary {
            now: self.now(),
            kafka: self.kafka().clone(),
            store: self.store().clone(),
            topics,
            runs,
            needs: Vec::new(),
        };
        summary.needs = needs(&summary);
        Ok(summary)
    }
}

/// Lists the points of a summary that need a hand.
fn needs(summary: &Summary) -> Vec<Need> {
    let mut found = Vec::new();
    for (kind, name, part) in [
        ("kafka_failed", "Kafka", &summary.kafka),
        ("store_failed", "the state store", &summary.store),
    ] {
        if let Part::Failed { url, reason, .. } = part {
            let text = format!("{name} ({url}) cannot be asked: {reason}");
            found.push(Need::new(kind, text, "kser status".to_owned()));
        }
    }
    let topics = summary.topics.as_deref().unwrap_or_default();
    found.extend(
        topics
            .iter()
            .filter_map(|line| deleted_soon(line, summary.now)),
    );
    found.extend(topics.iter().filter_map(|line| late(line, summary.now)));
    found.extend(topics.iter().filter_map(letters));
    found.extend(summary.runs.as_ref().and_then(failed));
    found
}

/// Says that dead letters of a topic are deleted soon.
fn deleted_soon(line: &TopicLine, now: Timestamp) -> Option<Need> {
    let letters = line.letters.as_ref()?;
    let left = letters_left(line, now)?;
    let topic = &line.topic;
    let text = format!(
        "{} dead letters of {topic} wait; the oldest is deleted by retention in {}",
        letters.waiting,
        Spoken(left)
    );
    let need = Need::new(
        "letters_deleted_soon",
        text,
        format!("kser letters renew --topic {topic}"),
    );
    (left < SOON).then_some(need)
}

/// Returns the time until the oldest dead letter of a topic is deleted. `None` if there is none, or letters are kept for ever.
#[must_use]
pub fn letters_left(line: &TopicLine, now: Timestamp) -> Option<Duration> {
    let oldest = line.letters.as_ref()?.oldest?;
    Some((oldest + line.letters_kept?).since(now))
}

/// Says that records of a topic wait for long.
fn late(line: &TopicLine, now: Timestamp) -> Option<Need> {
    let work = line.work.as_ref()?;
    let age = now.since(work.oldest?);
    let (topic, group) = (&line.topic, &line.group);
    let beyond = match work.settled_beyond {
        0 => String::new(),
        n => format!(", while {n} behind it are settled"),
    };
    let text = format!(
        "{} records of {topic} wait, the oldest for {}{beyond}",
        work.waiting,
        Spoken(age)
    );
    let need = Need::new("late", text, format!("kser groups {group}"));
    (age > LATE).then_some(need)
}

/// Says that a topic has dead letters.
fn letters(line: &TopicLine) -> Option<Need> {
    let waiting = line.letters.as_ref()?.waiting;
    let topic = &line.topic;
    let noun = match waiting {
        1 => "letter",
        _ => "letters",
    };
    let text = format!("{waiting} dead {noun} of {topic}");
    let command = format!("kser letters causes {topic}");
    (waiting > 0).then(|| Need::new("letters", text, command))
}

/// Says that runs have failed.
fn failed(runs: &RunCounts) -> Option<Need> {
    let text = match runs.failed {
        0 => return None,
        1 => "1 run has failed".to_owned(),
        RunCounts::MOST.. => format!("{} runs or more have failed", RunCounts::MOST),
        failed => format!("{failed} runs have failed"),
    };
    Some(Need::new(
        "runs_failed",
        text,
        "kser runs causes".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::topics::Backlog;

    const NOW: Timestamp = Timestamp::from_millis(1_795_849_200_000);

    fn ago(seconds: u64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(NOW.as_millis() - seconds * 1000))
    }

    fn backlog(waiting: u64, age: u64) -> Backlog {
        Backlog {
            waiting,
            oldest: ago(age),
            ..Backlog::default()
        }
    }

    fn kinds(work: Backlog, letters: Option<Backlog>, kept: Option<u64>) -> Vec<&'static str> {
        let line = TopicLine {
            topic: "dice".to_owned(),
            group: "kser.dice".to_owned(),
            work: Some(work),
            letters,
            letters_kept: kept.map(Duration::from_secs),
        };
        let summary = Summary {
            now: NOW,
            kafka: Part::Absent,
            store: Part::Absent,
            topics: Some(vec![line]),
            runs: None,
            needs: Vec::new(),
        };
        needs(&summary).into_iter().map(|need| need.kind).collect()
    }

    #[test]
    fn each_point_that_needs_a_hand_is_named() {
        let none = || Backlog::default();
        assert_eq!(kinds(none(), None, None), [""; 0]);
        assert_eq!(kinds(backlog(9, 300), None, None), [""; 0]);
        assert_eq!(kinds(backlog(9, 301), None, None), ["late"]);
        let letters = |kept| kinds(none(), Some(backlog(3, 3600)), kept);
        assert_eq!(letters(None), ["letters"]);
        assert_eq!(letters(Some(3600 + 24 * 3600)), ["letters"]);
        assert_eq!(
            letters(Some(24 * 3600)),
            ["letters_deleted_soon", "letters"]
        );
        // Past its time: the backend has not deleted it yet.
        assert_eq!(letters(Some(60)), ["letters_deleted_soon", "letters"]);
    }

    #[test]
    fn a_backend_that_failed_comes_first() {
        let failed = Part::Failed {
            url: "kafka://k1".to_owned(),
            reason: "no answer".to_owned(),
            temporary: true,
        };
        let summary = Summary {
            now: NOW,
            kafka: failed,
            store: Part::Absent,
            topics: None,
            runs: Some(RunCounts {
                failed: 3,
                ..RunCounts::default()
            }),
            needs: Vec::new(),
        };
        let [need, failed] = &needs(&summary)[..] else {
            panic!("two points");
        };
        assert_eq!(need.text, "Kafka (kafka://k1) cannot be asked: no answer");
        assert_eq!(failed.text, "3 runs have failed");
    }
}
