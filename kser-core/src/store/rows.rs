use std::fmt;

use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::sequencing::{PlannedStep, Progress};
use crate::{Name, Outcome, Record, RunId, Status, Timestamp, Topic};

/// An answer, and what the store's clock said then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timed<T> {
    /// The time of the store.
    pub now: Timestamp,
    /// The answer.
    pub value: T,
}

impl<T> Timed<T> {
    /// Makes an answer that was given when the store's clock said `now`.
    pub const fn new(now: Timestamp, value: T) -> Self {
        Self { now, value }
    }
}

/// A run that is to be kept.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The operation's entrypoint.
    pub name: Name,
    /// The topic in which the record waits that makes it go on, see [`Write::topic`].
    pub topic: Topic,
    /// The message that asks for it, as it is on the wire.
    pub launch: Bytes,
    /// Tells launches of one id with other content apart.
    pub digest: String,
    /// Where it stands.
    pub progress: Progress,
    /// Its steps, if they are known.
    pub plan: Vec<PlannedStep>,
    /// Records to relay. The id of each is the version of `progress` and its index here.
    pub outputs: Vec<Record>,
}

impl NewRun {
    /// Makes a run whose steps are not known yet.
    #[must_use]
    pub const fn new(
        id: RunId,
        name: Name,
        topic: Topic,
        launch: Bytes,
        digest: String,
        progress: Progress,
    ) -> Self {
        Self {
            id,
            name,
            topic,
            launch,
            digest,
            progress,
            plan: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Gives it its steps.
    #[must_use]
    pub fn with_plan(mut self, plan: Vec<PlannedStep>) -> Self {
        self.plan = plan;
        self
    }

    /// Gives it records that the store keeps until they are relayed.
    #[must_use]
    pub fn with_outputs(mut self, outputs: Vec<Record>) -> Self {
        self.outputs = outputs;
        self
    }
}

/// What came of an insert.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Inserted {
    /// The run is new.
    New,
    /// The run was there, with the same content, and stands here.
    Same(Box<Progress>),
    /// The run was there, with other content.
    Other,
}

/// What a swap writes, all or nothing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Write {
    /// Where the run stands.
    pub progress: Progress,
    /// The steps, written once, when the run is built.
    pub plan: Option<Vec<PlannedStep>>,
    /// An attempt that has ended.
    pub attempt: Option<Attempt>,
    /// Records to relay. The id of each is the version of `progress` and its index here.
    pub outputs: Vec<Record>,
    /// The step to answer with, counted from 1.
    pub fetch: Option<u32>,
    /// The topic in which the record waits that makes the run go on: that of the pending step, or that of its report where
    /// the step is an external one. `None` if it stays as it is.
    pub topic: Option<Topic>,
}

impl Write {
    /// Writes the progress and nothing else.
    #[must_use]
    pub const fn new(progress: Progress) -> Self {
        Self {
            progress,
            plan: None,
            attempt: None,
            outputs: Vec::new(),
            fetch: None,
            topic: None,
        }
    }
}

/// What came of a swap.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Swapped {
    /// It is written. Here is the step that was asked for, if there is such a step.
    Written(Option<PlannedStep>),
    /// The run has another version, or there is no such run.
    Conflict(Option<Box<Progress>>),
}

/// One attempt at one step, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// Which step, counted from 1; 0 is the build.
    pub position: u32,
    /// What it ran.
    pub entrypoint: Name,
    /// The number of the attempt, as [`Context::attempt`](crate::Context::attempt) counts: an attempt that a graceful stop
    /// gave back does not count, and after a repair it is 1 again.
    pub attempt: u32,
    /// When it began; `None` for what was reported or decided from outside.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// Who ran it.
    pub worker: String,
    /// How it ended.
    pub status: Status,
    /// What it left: the accepted outcome of a success, the handler's own of a failure.
    pub outcome: Outcome,
}

impl Attempt {
    /// Makes the row of an attempt that ended now.
    #[must_use]
    pub fn new(
        position: u32,
        entrypoint: Name,
        attempt: u32,
        ended: Timestamp,
        outcome: Outcome,
    ) -> Self {
        let status = match outcome.is_success() {
            true => Status::Success,
            false => Status::Failed,
        };
        Self {
            position,
            entrypoint,
            attempt,
            started: None,
            ended,
            worker: String::new(),
            status,
            outcome,
        }
    }
}

/// Names an output that a swap has written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the identity of an output is these three"
)]
pub struct OutputId {
    /// The run whose step sends it.
    pub run: RunId,
    /// The version of the progress it was written with.
    pub version: u64,
    /// Its place in [`Write::outputs`].
    pub index: u32,
}

/// A record that a step sends, kept until it is published.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Output {
    /// Its name.
    pub id: OutputId,
    /// What is to be published.
    pub record: Record,
}

impl Output {
    /// Makes an output from its name and its record.
    #[must_use]
    pub const fn new(id: OutputId, record: Record) -> Self {
        Self { id, record }
    }
}

/// A run as an operator sees it.
///
/// Displays as one line: id, entrypoint, status, step and the time of the last change. As JSON, `launch` is a text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunInfo {
    /// Its id.
    pub id: RunId,
    /// The operation's entrypoint.
    pub name: Name,
    /// The message that asked for it, as it is on the wire.
    #[serde(serialize_with = "text")]
    pub launch: Bytes,
    /// When it was launched.
    pub created: Timestamp,
    /// Where it stands.
    pub progress: Progress,
}

impl RunInfo {
    /// Makes one from its parts.
    #[must_use]
    pub const fn new(
        id: RunId,
        name: Name,
        launch: Bytes,
        created: Timestamp,
        progress: Progress,
    ) -> Self {
        Self {
            id,
            name,
            launch,
            created,
            progress,
        }
    }
}

impl RunInfo {
    /// Returns the status of the run.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.progress.status()
    }
}

impl fmt::Display for RunInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (position, steps) = (self.progress.position(), self.progress.steps());
        write!(f, "{} {} {} ", self.id, self.name, self.status())?;
        match steps {
            0 => f.write_str("not built")?,
            _ => write!(f, "step {} of {steps}", position.min(steps))?,
        }
        write!(f, ", changed {}", self.progress.updated())
    }
}

fn text<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    String::from_utf8_lossy(bytes).serialize(serializer)
}

/// Which runs to list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunFilter {
    /// Only those of this operation.
    pub name: Option<Name>,
    /// Only those with this status.
    pub status: Option<Status>,
    /// How many to leave out at the beginning.
    pub skip: usize,
    /// How many to list at most; 100 unless set.
    pub limit: usize,
}

impl Default for RunFilter {
    fn default() -> Self {
        Self {
            name: None,
            status: None,
            skip: 0,
            limit: 100,
        }
    }
}

impl RunFilter {
    /// Lists runs of this operation only.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Name>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Lists runs with this status only.
    #[must_use]
    pub const fn with_status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Leaves out the first `skip` runs and lists at most `limit`.
    #[must_use]
    pub const fn with_page(mut self, skip: usize, limit: usize) -> Self {
        self.skip = skip;
        self.limit = limit;
        self
    }
}
