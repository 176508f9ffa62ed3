use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser::Error;
use kser::backend::{Inspect, backlog};
use kser::client::{Client, Clock, SystemClock};
use kser::message::Topic;
use kser::presence::PresentState;
use kser::run::{RunFilter, Status, Timestamp};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::counters::MOST_TOPICS;

/// The pause between two looks.
const EVERY: Duration = Duration::from_secs(60);

/// The longest time that a look takes.
const LIMIT: Duration = Duration::from_secs(120);

/// The end of the name of a topic of dead letters.
const DEAD_LETTERS: &str = ".dlt";

/// A part of the names of topics in which records wait until they are due.
const DELAY: &str = ".delay.";

/// The ends of the names of the topics that only observers read.
const OBSERVED: [&str; 2] = ["kser.events", "kser.consumers"];

/// The partitions that have series of their own, so that the number of series is bounded.
const MOST_PARTITIONS: usize = 500;

/// The largest number of runs that is counted: a store of any size answers at once.
const MOST_RUNS: u64 = 10_000;

/// Looks at the dead letters, the backlog, the runs and the consumers of a client once a minute, until this is dropped: see
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
    /// The partitions of the work topics with the most records that are not settled.
    pub(crate) partitions: Vec<Partition>,
    /// The runs of the state store that have not succeeded, by their status, each at most [`MOST_RUNS`]; `None` without a store.
    pub(crate) runs: Option<[(&'static str, u64); 3]>,
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

/// A partition of a work topic.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) group: String,
    pub(crate) partition: i32,
    pub(crate) waiting: u64,
    pub(crate) oldest: Option<Timestamp>,
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
    let (mut found, mut waiting) = (Vec::new(), Vec::new());
    if let Some(inspect) = client.inspect() {
        let prefix = client.routes().prefix();
        let mut all = inspect.topics().await?;
        all.retain(|topic| topic.as_str().starts_with(prefix));
        found = letters(client, &*inspect, &all).await?;
        waiting = partitions(client, &*inspect, &all).await?;
    }
    Ok(Look {
        letters: found,
        partitions: waiting,
        runs: runs(client).await?,
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

async fn letters(
    client: &Client,
    inspect: &dyn Inspect,
    all: &[Topic],
) -> Result<Vec<Letters>, Error> {
    let routes = client.routes();
    let topics = all
        .iter()
        .filter(|topic| topic.as_str().ends_with(DEAD_LETTERS));
    let topics: Vec<Topic> = topics.take(MOST_TOPICS).cloned().collect();
    let kept = client.retention(&topics).await?;
    let mut found = Vec::new();
    for topic in topics {
        let partitions = match backlog(inspect, &routes.group(&topic), &topic).await {
            // It was deleted meanwhile.
            Err(Error::MissingTopic { .. }) => continue,
            partitions => partitions?,
        };
        let plain = topic.as_str().strip_suffix(DEAD_LETTERS);
        found.push(Letters {
            topic: plain.unwrap_or_default().to_owned(),
            waiting: partitions.iter().map(|it| it.progress.unsettled).sum(),
            oldest: partitions.iter().filter_map(|it| it.oldest).min(),
            kept: kept.get(&topic).copied(),
        });
    }
    Ok(found)
}

/// Reads the progress of the groups of the work topics, the partitions with the most records first.
async fn partitions(
    client: &Client,
    inspect: &dyn Inspect,
    all: &[Topic],
) -> Result<Vec<Partition>, Error> {
    let routes = client.routes();
    let is_work = |topic: &&Topic| {
        let plain = topic
            .as_str()
            .strip_prefix(routes.prefix())
            .unwrap_or_default();
        !plain.ends_with(DEAD_LETTERS) && !plain.contains(DELAY) && !OBSERVED.contains(&plain)
    };
    let mut found = Vec::new();
    for topic in all.iter().filter(is_work).take(MOST_TOPICS) {
        let group = routes.group(topic);
        let partitions = match backlog(inspect, &group, topic).await {
            Err(Error::MissingTopic { .. }) => continue,
            partitions => partitions?,
        };
        found.extend(partitions.into_iter().map(|it| Partition {
            topic: topic.to_string(),
            group: group.clone(),
            partition: it.progress.partition,
            waiting: it.progress.unsettled,
            oldest: it.oldest,
        }));
    }
    found.sort_by_key(|it| std::cmp::Reverse(it.waiting));
    found.truncate(MOST_PARTITIONS);
    Ok(found)
}

/// Counts the open runs and those that failed, up to a bound.
async fn runs(client: &Client) -> Result<Option<[(&'static str, u64); 3]>, Error> {
    let runs = client.runs();
    let count = async |status| {
        let filter = RunFilter::default().with_status(status);
        runs.count(&filter, MOST_RUNS).await
    };
    let pending = match count(Status::Pending).await {
        // The state of runs is carried in messages.
        Err(error) if !error.is_temporary() => return Ok(None),
        pending => pending?,
    };
    Ok(Some([
        ("pending", pending),
        ("running", count(Status::Running).await?),
        ("failed", count(Status::Failed).await?),
    ]))
}
