use std::cmp::Reverse;

use super::{GroupProgress, Inspect, RecordPlace, UnsettledQuery};
use crate::{Error, Room, Timestamp, Topic};

/// The number of partitions of a topic whose oldest record is looked for: those with the most records.
const ASKED: usize = 16;

/// The progress of a group in a partition, with the age of its backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionBacklog {
    /// The progress.
    pub progress: GroupProgress,
    /// The time at which the oldest unsettled record was published; `None` where there is none, where it was not looked for, and where the
    /// backend does not know it.
    pub oldest: Option<Timestamp>,
}

/// Returns the progress of a group in the partitions of a topic, by their numbers, and the age of the oldest unsettled record in each of the
/// 16 with the most.
///
/// # Errors
///
/// As [`Inspect::progress`].
pub async fn backlog(
    inspect: &dyn Inspect,
    group: &str,
    topic: &Topic,
) -> Result<Vec<PartitionBacklog>, Error> {
    let mut progress = inspect.progress(group, topic).await?;
    progress.sort_by_key(|partition| Reverse(partition.unsettled));
    let mut backlog = Vec::new();
    for (index, progress) in progress.into_iter().enumerate() {
        let oldest = match progress.unsettled > 0 && index < ASKED {
            true => oldest(inspect, group, topic, progress.partition).await?,
            false => None,
        };
        backlog.push(PartitionBacklog { progress, oldest });
    }
    backlog.sort_by_key(|partition| partition.progress.partition);
    Ok(backlog)
}

/// Returns the time at which the first unsettled record of a partition was published.
async fn oldest(
    inspect: &dyn Inspect,
    group: &str,
    topic: &Topic,
    partition: i32,
) -> Result<Option<Timestamp>, Error> {
    let start = RecordPlace {
        partition,
        offset: -1,
    };
    let query = UnsettledQuery::new(group, topic.clone()).after(start);
    let mut view = inspect.unsettled(query).await?;
    let first = view.next(Room::records(1)).await?.pop();
    let first = first.filter(|first| first.place.partition == partition);
    Ok(first.and_then(|first| first.published))
}
