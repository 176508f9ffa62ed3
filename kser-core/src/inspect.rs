mod backlog;

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{Error, Record, Room, Timestamp, Topic};

pub use self::backlog::{PartitionBacklog, backlog};

/// Shows the topics and groups of a backend without taking part: it joins no group, settles no delivery and commits no offset.
/// [`Transport::inspect`](crate::Transport::inspect) gives it; the section "Looking" of that trait's contract has the rules.
///
/// Operators and their tools look at dead letters with it while a program replays them. A call may take a second, and needs the
/// rights to read topics and to describe groups.
#[async_trait]
pub trait Inspect: Debug + Send + Sync + 'static {
    /// Lists the topics by name, without those of the backend itself.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the backend does not answer.
    async fn topics(&self) -> Result<Vec<Topic>, Error>;

    /// Lists the groups by name: those that have members, and those whose progress the backend keeps.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the backend does not answer.
    async fn groups(&self) -> Result<Vec<String>, Error>;

    /// Returns the progress of a group in each partition of a topic, by the number of the partition.
    ///
    /// # Errors
    ///
    /// [`Error::MissingTopic`] when the topic does not exist, [`Error::Backend`] when the backend does not answer.
    async fn progress(&self, group: &str, topic: &Topic) -> Result<Vec<GroupProgress>, Error>;

    /// Opens a view of the records that a group has not settled, as they are now.
    ///
    /// # Errors
    ///
    /// As [`progress`](Self::progress).
    async fn unsettled(&self, query: UnsettledQuery) -> Result<Box<dyn UnsettledView>, Error>;
}

/// Reads the records of a view, by partition and offset. Dropping it ends the view.
#[async_trait]
pub trait UnsettledView: Debug + Send {
    /// Returns the next records: at most as many as `room` allows, and none at the end of the view.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the backend does not answer. The view has ended then; another may begin
    /// [after](UnsettledQuery::after) the last record that was shown.
    ///
    /// # Cancel safety
    ///
    /// Records that were read for a dropped future are not shown any more.
    async fn next(&mut self, room: Room) -> Result<Vec<UnsettledRecord>, Error>;
}

/// The group and the topic of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsettledQuery {
    /// The group, which need not exist.
    pub group: String,
    /// The topic.
    pub topic: Topic,
    /// The place after which the view begins; `None` for the first unsettled record.
    pub after: Option<RecordPlace>,
}

impl UnsettledQuery {
    /// Asks for all records of a topic that a group has not settled.
    #[must_use]
    pub fn new(group: impl Into<String>, topic: Topic) -> Self {
        Self {
            group: group.into(),
            topic,
            after: None,
        }
    }

    /// Begins after a record that was shown before.
    #[must_use]
    pub const fn after(mut self, place: RecordPlace) -> Self {
        self.after = Some(place);
        self
    }
}

/// The place of a record in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a record is found by these two everywhere"
)]
pub struct RecordPlace {
    /// The number of the partition, from 0.
    pub partition: i32,
    /// The offset in the partition, from 0.
    pub offset: i64,
}

/// A record that a group has not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnsettledRecord {
    /// The place of the record.
    pub place: RecordPlace,
    /// The record as it was published. [`Record::not_before`] is set while the backend keeps it in this topic until that time.
    pub record: Record,
    /// The time of its publication; `None` where the backend does not know it.
    pub published: Option<Timestamp>,
}

impl UnsettledRecord {
    /// Shows a record, on behalf of a backend.
    #[must_use]
    pub const fn new(place: RecordPlace, record: Record, published: Option<Timestamp>) -> Self {
        Self {
            place,
            record,
            published,
        }
    }
}

/// The progress of a group in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupProgress {
    /// The number of the partition, from 0.
    pub partition: i32,
    /// The offset of the first record that the backend still has; [`end`](Self::end) if it has none.
    pub start: i64,
    /// The offset of the next record that will be published.
    pub end: i64,
    /// The offset below which the group has settled all records; `None` for a group that has settled none.
    pub settled_below: Option<i64>,
    /// The number of offsets that the group has not settled. It is the number of records, or more where offsets belong to no
    /// record, as those of transactions on Kafka.
    pub unsettled: u64,
}

impl GroupProgress {
    /// States a progress, on behalf of a backend.
    #[must_use]
    pub const fn new(
        partition: i32,
        start: i64,
        end: i64,
        settled_below: Option<i64>,
        unsettled: u64,
    ) -> Self {
        Self {
            partition,
            start,
            end,
            settled_below,
            unsettled,
        }
    }
}

// The traits must stay usable as trait objects.
const _: Option<&dyn Inspect> = None;
const _: Option<&dyn UnsettledView> = None;
