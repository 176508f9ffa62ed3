use std::collections::BTreeMap;
use std::time::Duration;

use kser::backend::{GroupProgress, Inspect, PartitionBacklog, backlog};
use kser::message::Topic;
use kser::run::Timestamp;
use serde::Serialize;

use crate::error::OpsError;
use crate::letter::DEAD_LETTERS;
use crate::ops::Ops;

/// A part of the name of each topic in which records wait until they are due.
pub(crate) const DELAY: &str = ".delay.";

/// The ends of the names of the topics that only observers read: the events, and the announcements of consumers.
const OBSERVED: [&str; 2] = ["kser.events", "kser.consumers"];

/// A work topic, with its dead letters. One of them may not exist: dead letters outlive a topic that was deleted or renamed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TopicLine {
    /// The name, with the prefix.
    pub topic: String,
    /// The group that receives from it.
    pub group: String,
    /// The progress of the group; `None` when the topic does not exist, while that of its dead letters does.
    pub work: Option<Backlog>,
    /// The dead letters; `None` when their topic does not exist.
    pub letters: Option<Backlog>,
    /// The time for which the topic of the dead letters keeps them; `None` for ever, and where it is unknown.
    #[serde(
        serialize_with = "crate::json::seconds",
        rename = "letters_kept_seconds"
    )]
    pub letters_kept: Option<Duration>,
}

/// The records of a topic that a group has not settled.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Backlog {
    /// The number of records that are not settled.
    pub waiting: u64,
    /// The number of offsets that are settled out of order, beyond the first record that is not.
    pub settled_beyond: u64,
    /// The time at which the oldest waiting record was published, of the 16 partitions with the most; `None` where nothing waits, or
    /// the backend does not know it.
    #[serde(serialize_with = "crate::json::time")]
    pub oldest: Option<Timestamp>,
    /// The partitions, by their numbers.
    pub partitions: Vec<PartitionLine>,
}

/// The progress of a group in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartitionLine {
    /// The number of the partition.
    pub partition: i32,
    /// The offset below which all records are settled; `None` for a group that has settled none.
    pub settled_below: Option<i64>,
    /// The offset of the next record that will be published.
    pub end: i64,
    /// The number of records that are not settled.
    pub waiting: u64,
    /// The number of offsets that are settled out of order.
    pub settled_beyond: u64,
    /// The time at which the oldest waiting record was published, if it was looked for.
    #[serde(serialize_with = "crate::json::time")]
    pub oldest: Option<Timestamp>,
}

impl Backlog {
    /// Reads the progress of a group in a topic, and the age of the oldest record of each partition.
    async fn read(inspect: &dyn Inspect, group: &str, topic: &Topic) -> Result<Self, OpsError> {
        let lines = backlog(inspect, group, topic).await?;
        let mut found = Self::default();
        let lines = lines.iter().map(PartitionLine::new);
        lines.for_each(|line| found.add(line));
        Ok(found)
    }

    fn add(&mut self, line: PartitionLine) {
        self.waiting += line.waiting;
        self.settled_beyond += line.settled_beyond;
        self.oldest = match (self.oldest, line.oldest) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.partitions.push(line);
    }
}

impl PartitionLine {
    fn new(of: &PartitionBacklog) -> Self {
        let progress = &of.progress;
        Self {
            partition: progress.partition,
            settled_below: progress.settled_below,
            end: progress.end,
            waiting: progress.unsettled,
            settled_beyond: settled_beyond(progress),
            oldest: of.oldest,
        }
    }
}

/// Counts the offsets that are settled beyond the first record that is not.
fn settled_beyond(progress: &GroupProgress) -> u64 {
    let from = progress.settled_below.unwrap_or(progress.start);
    let open = progress.end - from.max(progress.start);
    let open = u64::try_from(open).unwrap_or_default();
    open.saturating_sub(progress.unsettled)
}

impl Ops {
    /// Lists the work topics, with the progress of their groups and their dead letters, by name.
    ///
    /// # Errors
    ///
    /// [`OpsError::Needs`] without Kafka, [`OpsError::Kser`] when it does not answer.
    pub async fn topics(&self) -> Result<Vec<TopicLine>, OpsError> {
        let inspect = self.inspect("looking at topics")?;
        let all = inspect.topics().await?;
        let routes = self.client.routes();
        let found = work_topics(routes.prefix(), all);
        let letters: Vec<_> = found.values().filter_map(|it| it.letters.clone()).collect();
        let kept = self.client.retention(&letters).await?;
        let mut lines = Vec::new();
        for (topic, Found { is_there, letters }) in found {
            let group = routes.group(&topic);
            let letters_kept = letters.as_ref().and_then(|it| kept.get(it).copied());
            lines.push(TopicLine {
                work: match is_there {
                    true => Some(Backlog::read(&*inspect, &group, &topic).await?),
                    false => None,
                },
                letters: match &letters {
                    Some(letters) => {
                        let group = routes.group(letters);
                        Some(Backlog::read(&*inspect, &group, letters).await?)
                    }
                    None => None,
                },
                letters_kept,
                topic: topic.to_string(),
                group,
            });
        }
        Ok(lines)
    }
}

/// A work topic as the backend has it.
#[derive(Default)]
struct Found {
    is_there: bool,
    letters: Option<Topic>,
}

/// Finds the work topics, those among them that only their dead letters tell of.
fn work_topics(prefix: &str, all: Vec<Topic>) -> BTreeMap<Topic, Found> {
    let mut found: BTreeMap<_, Found> = BTreeMap::new();
    for topic in all {
        let plain = topic.as_str().strip_suffix(DEAD_LETTERS).map(Topic::new);
        match plain {
            Some(Ok(plain)) if is_work(prefix, &plain) => {
                found.entry(plain).or_default().letters = Some(topic);
            }
            None if is_work(prefix, &topic) => found.entry(topic).or_default().is_there = true,
            _ => {}
        }
    }
    found
}

/// Says whether a topic holds the messages of tasks. A topic that no program of kser has made is one, too: it may be routed to.
pub(crate) fn is_work(prefix: &str, topic: &Topic) -> bool {
    let Some(name) = topic.as_str().strip_prefix(prefix) else {
        return false;
    };
    !name.ends_with(DEAD_LETTERS) && !name.contains(DELAY) && !OBSERVED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_beyond_the_first_waiting_one_are_counted() {
        let line =
            |below, unsettled| settled_beyond(&GroupProgress::new(0, 10, 100, below, unsettled));
        assert_eq!(line(Some(40), 60), 0);
        assert_eq!(line(Some(40), 20), 40);
        assert_eq!(line(None, 90), 0);
        assert_eq!(line(Some(5), 90), 0);
        assert_eq!(line(Some(100), 0), 0);
    }

    #[test]
    fn topics_of_work_are_told_from_those_around_them() {
        let is_work = |prefix: &str, name: &str| is_work(prefix, &Topic::new(name).unwrap());
        assert!(is_work("", "dice") && is_work("test.", "test.dice"));
        for around in ["dice.dlt", "dice.delay.1s", "kser.events", "kser.consumers"] {
            assert!(!is_work("", around), "{around}");
        }
        assert!(!is_work("test.", "test.kser.events") && !is_work("test.", "dice"));
    }
}
