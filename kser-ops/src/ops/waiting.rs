use std::collections::{BTreeSet, BinaryHeap};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use kser::Error;
use kser::backend::{Room, UnsettledQuery, UnsettledRecord, headers};
use kser::message::{Message, Topic};
use kser::run::{RunFilter, RunId, RunSummary, Runs, Status, Timestamp};
use serde::Serialize;

use crate::error::OpsError;
use crate::ops::Ops;
use crate::ops::topics::{DELAY, is_work};

/// The number of runs that are read at the same time.
const AT_ONCE: usize = 16;

/// The records that are read at once, and their bytes.
const PAGE: Room = Room::new(1000, 4 * 1024 * 1024);

/// The waits that are to come, the earliest first, and the waits that cannot be seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Waiting {
    /// The time of day.
    #[serde(serialize_with = "crate::json::at")]
    pub now: Timestamp,
    /// The waits, the earliest first.
    pub waits: Vec<Wait>,
    /// The number of waits that were found, those beyond the limit of the list among them.
    pub found: u64,
    /// The waits that this list cannot know, each as a sentence.
    pub unknown: Vec<String>,
}

/// A step or a task that waits until a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Wait {
    /// The time at which the wait ends: the step begins, or an external step has failed.
    #[serde(serialize_with = "crate::json::at")]
    pub at: Timestamp,
    /// The kind of the wait.
    pub kind: WaitKind,
    /// The entrypoint; `None` where the message is encrypted.
    pub entrypoint: Option<String>,
    /// The run of which it is a step.
    pub run: Option<RunId>,
    /// The position of the step, from 1; 0 is the build.
    pub step: Option<u32>,
    /// The number of attempts that have failed.
    pub attempts: u32,
    /// The topic of the message, with the prefix.
    pub topic: String,
    /// The error of the last attempt.
    pub error: Option<String>,
}

/// The kind of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitKind {
    /// A send or a step with a delay.
    Delayed,
    /// An attempt has failed, and another follows.
    Retry,
    /// An external step waits for its report, and fails at the time.
    External,
}

/// The earliest waits, at most so many.
struct Earliest {
    most: usize,
    found: u64,
    /// The latest of them is on top.
    kept: BinaryHeap<Wait>,
    /// The steps that the store has told of: their delayed records are not counted again.
    steps: BTreeSet<(RunId, u32)>,
}

impl Earliest {
    fn add(&mut self, wait: Wait) {
        if let Some((run, step)) = wait.run.clone().zip(wait.step)
            && !self.steps.insert((run, step))
        {
            return;
        }
        self.found += 1;
        self.kept.push(wait);
        if self.kept.len() > self.most {
            self.kept.pop();
        }
    }
}

impl Ops {
    /// Lists delayed sends, retries and external steps, the earliest first: at most `most` of them, of the `read` open runs that were
    /// launched last, and of as many delayed records in each topic.
    ///
    /// # Errors
    ///
    /// [`OpsError::Kser`] when a backend fails that had answered at the start.
    pub async fn waiting(&self, most: usize, read: usize) -> Result<Waiting, OpsError> {
        let mut earliest = Earliest {
            most,
            found: 0,
            kept: BinaryHeap::new(),
            steps: BTreeSet::new(),
        };
        let mut unknown = Vec::new();
        match self.store_runs("the waits of runs") {
            Ok(runs) => runs_of_store(&runs, self.now(), read, &mut earliest, &mut unknown).await?,
            Err(error) => unknown.push(format!("the waits of stored runs: {error}")),
        }
        match self.inspect("looking at delayed records") {
            Ok(_) => self.records(read, &mut earliest, &mut unknown).await?,
            Err(error) => unknown.push(format!("delayed sends and the retries of tasks: {error}")),
        }
        unknown.push(
            "waits of 10 s or less of tasks and carried runs, which consumers keep in memory"
                .to_owned(),
        );
        unknown.push("the limits of external steps whose state is carried in messages".to_owned());
        let Earliest { found, kept, .. } = earliest;
        Ok(Waiting {
            now: self.now(),
            waits: kept.into_sorted_vec(),
            found,
            unknown,
        })
    }

    /// Reads the delayed records of all topics.
    async fn records(
        &self,
        read: usize,
        earliest: &mut Earliest,
        unknown: &mut Vec<String>,
    ) -> Result<(), OpsError> {
        let inspect = self.inspect("looking at delayed records")?;
        let routes = self.client.routes();
        let prefix = routes.prefix();
        for topic in inspect.topics().await? {
            let Some(work) = work_of(prefix, &topic) else {
                continue;
            };
            let query = UnsettledQuery::new(routes.group(&work), topic.clone());
            let mut view = match inspect.unsettled(query).await {
                Err(Error::MissingTopic { .. }) => continue,
                view => view?,
            };
            let mut seen = 0;
            loop {
                let page = view.next(PAGE).await?;
                if page.is_empty() {
                    break;
                }
                seen += page.len();
                let waits = page.iter().filter_map(|shown| wait_of(shown, &work));
                waits.for_each(|wait| earliest.add(wait));
                if seen >= read {
                    unknown.push(format!("records of {topic} beyond the first {seen}"));
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Reads the open runs of a store that wait.
async fn runs_of_store(
    runs: &Runs,
    now: Timestamp,
    read: usize,
    earliest: &mut Earliest,
    unknown: &mut Vec<String>,
) -> Result<(), OpsError> {
    for status in [Status::Running, Status::Pending] {
        let (mut after, mut seen) = (None, 0);
        loop {
            let limit = read.saturating_sub(seen).min(PAGE.records);
            let filter = RunFilter::default().with_status(status).with_limit(limit);
            let page = runs.list(&filter.with_after(after)).await?;
            seen += page.rows.len();
            let waits = stream::iter(page.rows).map(|run| wait_of_run(runs, run, now));
            let waits: Vec<_> = waits.buffered(AT_ONCE).try_collect().await?;
            waits.into_iter().flatten().for_each(|it| earliest.add(it));
            after = page.next;
            if after.is_none() {
                break;
            }
            if seen >= read {
                unknown.push(format!(
                    "{status} runs beyond the {seen} that were launched last"
                ));
                break;
            }
        }
    }
    Ok(())
}

/// Reads where a run stands; `None` for one that does not wait for a time, and for one that has ended meanwhile.
async fn wait_of_run(
    runs: &Runs,
    run: RunSummary,
    now: Timestamp,
) -> Result<Option<Wait>, OpsError> {
    let place = match runs.place(&run.id).await {
        Err(Error::UnknownRun { .. }) => return Ok(None),
        place => place?,
    };
    let (progress, Some(step)) = (place.progress, place.step) else {
        return Ok(None);
    };
    let attempts = progress.made_attempts();
    let lease = progress.lease().map(|lease| lease.until);
    let is_external = step.external.is_some() && progress.is_started();
    let (kind, until) = match progress.not_before() {
        _ if progress.status().is_terminal() => return Ok(None),
        _ if is_external => (WaitKind::External, lease),
        until if attempts > 0 => (WaitKind::Retry, until),
        until => (WaitKind::Delayed, until),
    };
    let until = until.filter(|until| is_external || *until > place.now);
    let Some(until) = until else {
        return Ok(None);
    };
    let error = match kind {
        WaitKind::Retry => runs.latest_attempts(&run.id, 1).await.unwrap_or_default(),
        _ => Vec::new(),
    };
    Ok(Some(Wait {
        // The store has a clock of its own.
        at: match place.now.since(until) {
            late if late.is_zero() => now + until.since(place.now),
            late => {
                let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
                Timestamp::from_millis(now.as_millis().saturating_sub(late))
            }
        },
        kind,
        entrypoint: Some(step.entrypoint.to_string()),
        run: Some(run.id),
        step: Some(step.position),
        attempts: match kind {
            WaitKind::External => 0,
            _ => attempts,
        },
        topic: step.topic.to_string(),
        error: error.first().map(|last| last.outcome.shown().to_owned()),
    }))
}

/// Returns the work topic of which a topic keeps the delayed records; itself for a work topic, where a backend keeps them in it.
fn work_of(prefix: &str, topic: &Topic) -> Option<Topic> {
    if is_work(prefix, topic) {
        return Some(topic.clone());
    }
    let (work, _) = topic.as_str().split_once(DELAY)?;
    let work = Topic::new(work).ok()?;
    is_work(prefix, &work).then_some(work)
}

/// Reads a delayed record; `None` for one that is not delayed.
fn wait_of(shown: &UnsettledRecord, work: &Topic) -> Option<Wait> {
    let record = &shown.record;
    let at = record.not_before.or_else(|| {
        let wait = record.header(headers::WAIT_MS)?;
        Some(shown.published? + headers::wait(wait)?)
    })?;
    let message = record.payload.as_deref().map(Message::salvage);
    let message = message.flatten();
    let envelope = message.as_ref().and_then(|it| it.metadata.envelope());
    let failed = headers::attempts(record).unwrap_or_default();
    let attempts = envelope.map_or(failed, |it| failed.max(it.attempts));
    Some(Wait {
        at,
        kind: match attempts {
            0 => WaitKind::Delayed,
            _ => WaitKind::Retry,
        },
        entrypoint: message.as_ref().map(|it| it.entrypoint.to_string()),
        run: envelope.map(|it| it.run.clone()),
        step: envelope.map(|it| it.step),
        attempts,
        topic: work.to_string(),
        error: None,
    })
}
