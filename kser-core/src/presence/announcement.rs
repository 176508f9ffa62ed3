use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::Command;
use super::running::RunningTask;
use crate::{HeldPartition, Instance, JsonError, Name, Raw, Timestamp, Topic};

/// The version of the announcements that this version writes.
const VERSION: u32 = 1;

/// The most names of entrypoints in an announcement.
const MOST_NAMES: usize = 1_000;

/// The most running attempts in an announcement, the oldest ones.
const MOST_RUNNING: usize = 64;

/// The most partitions with a reason in an announcement.
const MOST_HELD: usize = 32;

/// The most bytes of an announcement.
const LARGEST: usize = 64 * 1024;

/// A consumer as it announces itself to operators, every [`PRESENCE_EVERY`](super::PRESENCE_EVERY).
///
/// As JSON it has a version, and keeps the fields of later versions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Presence {
    /// The version of the announcement; 1.
    pub v: u32,
    /// The id of the consumer, which does not depend on its host: its first group and its name, or a random id in place of a name.
    pub id: String,
    /// The name of the consumer over its restarts, if it has one.
    pub instance: Option<Instance>,
    /// The groups that the consumer joins.
    pub groups: Vec<String>,
    /// The topics that the consumer receives from, with the prefix.
    pub topics: Vec<Topic>,
    /// The version of the program, as the program tells it.
    pub version: Option<String>,
    /// The version of kser.
    pub kser: String,
    /// The start of the consumer, by its time of day.
    pub started: Timestamp,
    /// The time of the announcement, by the time of day of the consumer.
    pub at: Timestamp,
    /// The time of the announcement by the clock of [`RunningTask::since`], which is that of the store where runs are stored.
    pub now: Timestamp,
    /// The state.
    pub state: PresentState,
    /// The number of tasks that run at once at most.
    pub places: usize,
    /// The names of the registered entrypoints, in order.
    pub entrypoints: Vec<Name>,
    /// The number of entrypoints beyond those that are listed.
    pub more_entrypoints: usize,
    /// The running attempts, the oldest first.
    pub running: Vec<RunningTask>,
    /// The number of running attempts beyond those that are listed.
    pub more_running: usize,
    /// The assigned partitions of each topic, as ranges: `0-5,8`.
    pub assigned: BTreeMap<Topic, String>,
    /// The number of records that the consumer holds.
    pub held: usize,
    /// The size of the records that the consumer holds, in bytes.
    pub held_bytes: usize,
    /// The number of held records that wait in memory for a moment, such as that of a retry.
    pub parked: usize,
    /// The partitions from which the consumer gets no records, or whose results it cannot publish, with the reason.
    pub held_partitions: Vec<HeldPartition>,
    /// The number of partitions beyond those in [`held_partitions`](Self::held_partitions).
    pub more_held_partitions: usize,
    /// The groups that the consumer should be in and is not, with the reason.
    pub not_in_group: BTreeMap<String, String>,
    /// The topics of the consumer that do not exist.
    pub missing: Vec<Topic>,
    /// The number of records in the assigned partitions that are not done; `None` where it is not known.
    pub lag: Option<u64>,
    /// The age of the oldest received record that is not done, in milliseconds; `None` where there is none.
    pub oldest_waiting_ms: Option<u64>,
    /// Whether operators may pause, resume and drain the consumer.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub remote_control: bool,
    /// The command of an operator by which the consumer is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_by: Option<Command>,
    /// The fields of later versions.
    #[serde(flatten)]
    pub others: serde_json::Map<String, serde_json::Value>,
}

/// The state of a consumer in its announcement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PresentState {
    /// The consumer receives.
    #[default]
    Running,
    /// The consumer is paused: it takes no new deliveries.
    Paused,
    /// The consumer stops: it takes no new deliveries, and finishes the running ones.
    Stopping,
    /// A state of a later version.
    #[serde(other)]
    Other,
}

impl Presence {
    /// Makes the announcement of a consumer that receives nothing yet.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            v: VERSION,
            id: id.into(),
            ..Self::default()
        }
    }

    /// Reads an announcement, also one of a later version.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when the text is none.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        Raw::from_slice(text.as_bytes())?.parse()
    }

    /// Writes the announcement, with shorter lists if they are too long: the counts tell how many are left out.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when it has no JSON form, which none has.
    pub fn into_text(mut self) -> Result<String, JsonError> {
        let (mut names, mut running, mut held) = (MOST_NAMES, MOST_RUNNING, MOST_HELD);
        loop {
            shorten(&mut self.entrypoints, &mut self.more_entrypoints, names);
            shorten(&mut self.running, &mut self.more_running, running);
            shorten(
                &mut self.held_partitions,
                &mut self.more_held_partitions,
                held,
            );
            let text = Raw::new(&self)?.as_str().to_owned();
            if text.len() <= LARGEST || names + running + held == 0 {
                return Ok(text);
            }
            (names, running, held) = (names / 2, running / 2, held / 2);
        }
    }

    /// Says whether an entrypoint is registered; `None` when the list of names is not complete, and does not have it.
    #[must_use]
    pub fn has_registered(&self, entrypoint: &Name) -> Option<bool> {
        match self.entrypoints.contains(entrypoint) {
            true => Some(true),
            false if self.more_entrypoints > 0 => None,
            false => Some(false),
        }
    }
}

fn shorten<T>(list: &mut Vec<T>, more: &mut usize, most: usize) {
    *more += list.len().saturating_sub(most);
    list.truncate(most);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence() -> Presence {
        let mut presence = Presence::new("kser.billing/billing-0");
        presence.instance = Some("billing-0".into());
        presence.groups = vec!["kser.billing".to_owned()];
        presence.entrypoints = vec!["billing.Charge".into(), "billing.Refund".into()];
        presence.state = PresentState::Paused;
        let task = RunningTask::new("billing.Charge".into(), "7".into(), Timestamp::default());
        presence.running = vec![task];
        let topic = Topic::new("billing").unwrap();
        presence.assigned.insert(topic.clone(), "0-5".to_owned());
        presence.held_partitions = vec![HeldPartition::new(topic, 3, "offset 81220 is not done")];
        presence
    }

    #[test]
    fn an_announcement_comes_back_as_it_was() {
        let text = presence().into_text().unwrap();
        assert_eq!(Presence::parse(&text).unwrap(), presence());
        assert!(Presence::parse("[]").is_err());
        assert!(Presence::parse("").is_err());
    }

    #[test]
    fn fields_of_later_versions_are_kept() {
        let text = r#"{"v":9,"id":"a","state":"hibernating","moon":{"phase":0.5},"places":4}"#;
        let read = Presence::parse(text).unwrap();
        assert_eq!((read.v, read.places), (9, 4));
        assert_eq!(read.state, PresentState::Other);
        let again = Presence::parse(&read.into_text().unwrap()).unwrap();
        assert_eq!(again.others["moon"]["phase"], 0.5);
    }

    #[test]
    fn a_long_announcement_is_shortened_and_says_so() {
        let mut long = presence();
        long.entrypoints = (0..5_000)
            .map(|n| format!("billing.{n}.{}", "x".repeat(90)).into())
            .collect();
        let task = long.running[0].clone();
        long.running = vec![task; 1_000];
        let text = long.into_text().unwrap();
        assert!(text.len() <= LARGEST, "{} bytes", text.len());
        let read = Presence::parse(&text).unwrap();
        assert_eq!(read.entrypoints.len() + read.more_entrypoints, 5_000);
        assert_eq!(read.running.len() + read.more_running, 1_000);
        assert!(!read.entrypoints.is_empty() && !read.running.is_empty());
        assert_eq!(read.has_registered(&"billing.Refund".into()), None);
        assert_eq!(
            presence().has_registered(&"billing.None".into()),
            Some(false)
        );
    }
}
