use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::Topic;

/// The state of one member of a group, as its backend knows it.
///
/// A backend updates the figures about once a second. As JSON, a duration is a number of milliseconds in a field whose name
/// ends in `_ms`, such as `last_heard_ms`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// The group of the member; `None` when the backend does not tell it.
    pub group: Option<String>,
    /// The partitions that are assigned to the member.
    pub assigned: Vec<(Topic, i32)>,
    /// The partitions of topics with delayed records from which this member sends records on; on Kafka those of
    /// `<topic>.delay.*`. Empty where a backend keeps delays otherwise.
    pub delays: Vec<(Topic, i32)>,
    /// The number of records in the assigned partitions that are not done. A record that was done out of order does not
    /// count. `None` when no partition is assigned, or the backend cannot tell.
    pub lag: Option<u64>,
    /// The age of the oldest received record that is not done; `None` when there is none, or the backend cannot tell.
    #[serde(rename = "oldest_waiting_ms", serialize_with = "millis")]
    pub oldest_waiting: Option<Duration>,
    /// The time for which the topics keep their records, the shortest of them: an older record is deleted, run or not.
    /// `None` when they keep records for ever, or the backend cannot tell.
    #[serde(rename = "retention_ms", serialize_with = "millis")]
    pub retention: Option<Duration>,
    /// The time since the last answer of the backend; `None` when that has no meaning.
    #[serde(rename = "last_heard_ms", serialize_with = "millis")]
    pub last_heard: Option<Duration>,
    /// The groups that the member should be in and is not, so that it receives none of their records. Empty in good
    /// health. A start and a rebalance show here for as long as they take.
    pub not_in_group: Vec<NotInGroup>,
    /// The number of records that were deleted before this member received them, by retention or by a tool, since it
    /// subscribed. An upper bound where a backend numbers more than records, as Kafka does.
    pub deleted: u64,
    /// The number of times that a partition went back to records of smaller offsets since the member subscribed, because its
    /// topic was created anew or its log was truncated. These records run, though some of them may have run before.
    pub resets: u64,
    /// The topics whose settings put delayed records at risk, as they were when the member joined. Empty in good health.
    pub unfit: Vec<UnfitTopic>,
    /// The topics that the member subscribes to and that do not exist.
    pub missing: Vec<Topic>,
    /// The number of unsettled deliveries that are suspected poison messages: they may have crashed their process before.
    pub suspects: usize,
    /// The assigned partitions from which the backend hands out no record for now, with the reason.
    pub held: Vec<HeldPartition>,
    /// The time for which readers of the member's outputs may wait after a kill of the member: until its open transaction times out.
    /// `None` if a restart of the member ends the wait, as with an instance name, or if it has no transactions.
    #[serde(rename = "readers_wait_after_kill_ms", serialize_with = "millis")]
    pub readers_wait_after_kill: Option<Duration>,
}

/// A group that a member should be in and is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NotInGroup {
    /// The name of the group.
    pub group: String,
    /// The time for which it has not been in the group.
    #[serde(rename = "duration_ms", serialize_with = "whole_millis")]
    pub duration: Duration,
    /// The reason, for people.
    pub reason: String,
}

impl NotInGroup {
    /// Makes the entry of a group, with the time for which the member has not been in it and the reason.
    #[must_use]
    pub fn new(group: impl Into<String>, duration: Duration, reason: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            duration,
            reason: reason.into(),
        }
    }
}

/// A topic whose settings put delayed records at risk, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnfitTopic {
    /// The topic.
    pub topic: Topic,
    /// The setting, its value and the needed value, for people.
    pub reason: String,
}

impl UnfitTopic {
    /// Makes the entry of a topic, with the fault in its settings.
    #[must_use]
    pub fn new(topic: Topic, reason: impl Into<String>) -> Self {
        Self {
            topic,
            reason: reason.into(),
        }
    }
}

/// A partition from which the backend hands out no record, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HeldPartition {
    /// The topic.
    pub topic: Topic,
    /// The number of the partition.
    pub partition: i32,
    /// The reason, for people.
    pub reason: String,
}

impl HeldPartition {
    /// Makes the entry of a partition, with the reason.
    #[must_use]
    pub fn new(topic: Topic, partition: i32, reason: impl Into<String>) -> Self {
        Self {
            topic,
            partition,
            reason: reason.into(),
        }
    }
}

#[expect(
    clippy::ref_option,
    reason = "serde calls it with a reference to the field"
)]
fn millis<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_millis()).serialize(serializer)
}

fn whole_millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    time.as_millis().serialize(serializer)
}
