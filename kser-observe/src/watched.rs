use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser::Error;
use kser::backend::{Inspect, RecordPlace, Room, UnsettledQuery};
use kser::client::{Client, Clock, SystemClock};
use kser::message::Topic;
use kser::presence::PresentState;
use kser::run::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::counters::MOST_TOPICS;

/// The pause between two looks.
const EVERY: Duration = Duration::from_secs(60);

/// The longest time that a look takes.
const LIMIT: Duration = Duration::from_secs(120);

/// The end of the name of a topic of dead letters.
const DEAD_LETTERS: &str = ".dlt";

/// The partitions of a topic whose oldest dead letter is looked for, those with the most.
const PARTITIONS: usize = 16;

/// Looks at the dead letters and the consumers of a client once a minute, until this is dropped: see
/// [`Monitor::watch`](crate::Monitor::watch).
#[derive(Debug)]
#[must_use = "the looks end when this is dropped"]
pub struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The figures of the latest look, if a client is watched.
#[derive(Debug, Default)]
pub(crate) struct Watched(Mutex<Option<Look>>);

/// The figures of a look.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// The time of day at which it was made.
    pub(crate) at: Timestamp,
    pub(crate) letters: Vec<Letters>,
    /// The consumers by their state; `None` where they do not announce themselves.
    pub(crate) consumers: Option<[(&'static str, usize); 4]>,
}

/// The dead letters of a topic.
#[derive(Debug, Clone)]
pub(crate) struct Letters {
    /// The topic, without the suffix of dead letters.
    pub(crate) topic: String,
    pub(crate) waiting: u64,
    pub(crate) oldest: Option<Timestamp>,
    /// The time for which they are kept; `None` for ever.
    pub(crate) kept: Option<Duration>,
}

impl Watched {
    pub(crate) fn latest(&self) -> Option<Look> {
        self.look().clone()
    }

    /// Looks again and again. A look that fails leaves the figures of the one before, whose age tells.
    pub(crate) fn watch(self: Arc<Self>, client: Client) -> Watching {
        Watching(tokio::spawn(async move {
            loop {
                match timeout(LIMIT, look_at(&client)).await {
                    Ok(Ok(look)) => *self.look() = Some(look),
                    Ok(Err(error)) => {
                        let error = error.report();
                        tracing::warn!(target: "kser", error, "looking at dead letters failed; their metrics are those of the last look");
                    }
                    Err(_) => tracing::warn!(
                        target: "kser",
                        "looking at dead letters took longer than {LIMIT:?}; their metrics are those of the last look",
                    ),
                }
                sleep(EVERY).await;
            }
        }))
    }

    fn look(&self) -> MutexGuard<'_, Option<Look>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look_at(client: &Client) -> Result<Look, Error> {
    Ok(Look {
        letters: match client.inspect() {
            Some(inspect) => letters(client, &*inspect).await?,
            None => Vec::new(),
        },
        consumers: consumers(client).await?,
        at: SystemClock::new().wall(),
    })
}

async fn consumers(client: &Client) -> Result<Option<[(&'static str, usize); 4]>, Error> {
    let all = match client.announced_consumers().await {
        Ok(all) => all,
        Err(Error::MissingTopic { .. } | Error::Unsupported { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let count = |is_of: &dyn Fn(bool, PresentState) -> bool| {
        let states = all.iter().map(|one| (one.is_silent, one.presence.state));
        states
            .filter(|(silent, state)| is_of(*silent, *state))
            .count()
    };
    let alive = |of: PresentState| count(&move |silent, state| !silent && state == of);
    Ok(Some([
        ("running", alive(PresentState::Running)),
        ("paused", alive(PresentState::Paused)),
        ("stopping", alive(PresentState::Stopping)),
        ("silent", count(&|silent, _| silent)),
    ]))
}

async fn letters(client: &Client, inspect: &dyn Inspect) -> Result<Vec<Letters>, Error> {
    let routes = client.routes();
    let is_ours = |topic: &Topic| {
        let name = topic.as_str();
        name.starts_with(routes.prefix()) && name.ends_with(DEAD_LETTERS)
    };
    let topics = inspect.topics().await?.into_iter().filter(is_ours);
    let topics: Vec<Topic> = topics.take(MOST_TOPICS).collect();
    let kept = client.retention(&topics).await?;
    let mut found = Vec::new();
    for topic in topics {
        let group = routes.group(&topic);
        let mut progress = match inspect.progress(&group, &topic).await {
            // It was deleted meanwhile.
            Err(Error::MissingTopic { .. }) => continue,
            progress => progress?,
        };
        progress.sort_by_key(|partition| std::cmp::Reverse(partition.unsettled));
        let mut oldest: Option<Timestamp> = None;
        let with_letters = progress.iter().filter(|partition| partition.unsettled > 0);
        for partition in with_letters.take(PARTITIONS) {
            let at = oldest_of(inspect, &group, &topic, partition.partition).await?;
            oldest = match (oldest, at) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        let plain = topic.as_str().strip_suffix(DEAD_LETTERS);
        found.push(Letters {
            topic: plain.unwrap_or_default().to_owned(),
            waiting: progress.iter().map(|partition| partition.unsettled).sum(),
            oldest,
            kept: kept.get(&topic).copied(),
        });
    }
    Ok(found)
}

/// Returns the time at which the first dead letter of a partition was written.
async fn oldest_of(
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
