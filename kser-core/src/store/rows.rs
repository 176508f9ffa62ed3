use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use super::browse::RunSummary;
use super::standing::{Found, Standing, Tombstone};
use super::{LONGEST_ID, OUTPUT_PATIENCE};
use crate::sequencing::{PlannedStep, Progress};
use crate::{Error, Name, Outcome, Record, RunId, Status, Timestamp, Topic};

/// An answer of the store, with the time of its clock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timed<T> {
    /// The time of the store.
    pub now: Timestamp,
    /// The answer.
    pub value: T,
}

impl<T> Timed<T> {
    /// Makes an answer of the time `now`.
    pub const fn new(now: Timestamp, value: T) -> Self {
        Self { now, value }
    }
}

/// A run to be inserted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NewRun {
    /// The id of the run.
    pub id: RunId,
    /// The operation's entrypoint.
    pub name: Name,
    /// The topic of the record that moves the run on, see [`Write::topic`].
    pub topic: Topic,
    /// The launch message, as it is on the wire.
    pub launch: Bytes,
    /// A digest of the content, by which launches of one id with other content differ.
    pub digest: String,
    /// The progress.
    pub progress: Progress,
    /// The steps, if they are known.
    pub plan: Vec<PlannedStep>,
    /// Records to relay. The id of each is the version of `progress` and its index here.
    pub outputs: Vec<Record>,
    /// The time after which other consumers may publish the outputs: [`OUTPUT_PATIENCE`], unless set. It is zero where the writer
    /// does not publish them.
    pub outputs_due_in: Duration,
    /// Whether a run of this id that was purged stays so. A launch by a user begins a new run; a launch message that is
    /// delivered again does not.
    pub unless_purged: bool,
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
            outputs_due_in: OUTPUT_PATIENCE,
            unless_purged: false,
        }
    }

    /// Refuses an id that a store does not keep.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] for an id of more than [`LONGEST_ID`](super::LONGEST_ID) bytes.
    pub fn check_id(id: &RunId) -> Result<(), Error> {
        let size = id.as_str().len();
        match size <= LONGEST_ID {
            true => Ok(()),
            false => Err(Error::TooLarge {
                what: "bytes of the id of the operation".into(),
                size,
                limit: LONGEST_ID,
            }),
        }
    }

    /// Asks that a run of this id that was purged stays so.
    #[must_use]
    pub const fn unless_purged(mut self) -> Self {
        self.unless_purged = true;
        self
    }

    /// Sets the steps.
    #[must_use]
    pub fn with_plan(mut self, plan: Vec<PlannedStep>) -> Self {
        self.plan = plan;
        self
    }

    /// Sets the time after which other consumers may publish the outputs.
    #[must_use]
    pub const fn with_outputs_due_in(mut self, wait: Duration) -> Self {
        self.outputs_due_in = wait;
        self
    }

    /// Sets the records that the store keeps until they are relayed.
    #[must_use]
    pub fn with_outputs(mut self, outputs: Vec<Record>) -> Self {
        self.outputs = outputs;
        self
    }
}

/// The result of an insert.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Inserted {
    /// The run is new.
    New,
    /// The run existed with the same content. This is its state.
    Same(Box<Standing>),
    /// The run existed with other content, or was purged with other content and stays so.
    Other,
    /// The run was purged with the same content, and stays so: [`NewRun::unless_purged`].
    Purged(Box<Tombstone>),
}

/// The content of a swap, which is written whole or not at all.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Write {
    /// The progress.
    pub progress: Progress,
    /// The steps, written once, when the run is built.
    pub plan: Option<Vec<PlannedStep>>,
    /// An attempt that has ended.
    pub attempt: Option<Attempt>,
    /// Records to relay. The id of each is the version of `progress` and its index here.
    pub outputs: Vec<Record>,
    /// The time after which other consumers may publish the outputs: [`OUTPUT_PATIENCE`], unless set.
    pub outputs_due_in: Duration,
    /// The step to answer with, counted from 1.
    pub fetch: Option<u32>,
    /// The topic of the record that moves the run on: that of the pending step, or that of its report where the step is an
    /// external one. `None` leaves it unchanged.
    pub topic: Option<Topic>,
    /// Whether the run keeps its [outcomes](crate::sequencing::Outcomes), whatever those of `progress` are: a store need not write
    /// them again, however large they are. `false` unless set.
    pub keeps_outcomes: bool,
}

impl Write {
    /// Makes a write of the progress only.
    #[must_use]
    pub const fn new(progress: Progress) -> Self {
        Self {
            progress,
            plan: None,
            attempt: None,
            outputs: Vec::new(),
            outputs_due_in: OUTPUT_PATIENCE,
            fetch: None,
            topic: None,
            keeps_outcomes: false,
        }
    }
}

/// The result of a swap.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Swapped {
    /// The swap was written. This is the step that the caller asked for, if there is such a step.
    Written(Option<PlannedStep>),
    /// The run has another revision, or there is no such run. This is the state that the store has.
    Conflict(Found),
}

/// An attempt at a step, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// The position of the step, counted from 1; 0 is the build.
    pub position: u32,
    /// The name of the task.
    pub entrypoint: Name,
    /// The number of the attempt, as [`Context::attempt`](crate::Context::attempt) counts: an attempt that a graceful
    /// shutdown released does not count, and after a repair the number is 1 again.
    pub attempt: u32,
    /// The time of the start; `None` for a report of an external step or a decision of a user.
    pub started: Option<Timestamp>,
    /// The time of the end.
    pub ended: Timestamp,
    /// The consumer that ran it.
    pub worker: String,
    /// The status at the end.
    pub status: Status,
    /// The outcome: the accepted outcome of a success, the outcome of the handler of a failure. It is empty where a user has decided
    /// and nothing has run.
    pub outcome: Outcome,
    /// The decision of a user, if that is no attempt but a verb, and its actor is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Intervention>,
}

/// A verb that a user has applied to a run: the actor, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Intervention {
    /// The verb, such as `cancel`.
    pub verb: String,
    /// The person or program that has asked for it.
    pub actor: String,
    /// The reason that the actor gives.
    pub reason: String,
}

impl Intervention {
    /// Makes an intervention from its parts.
    #[must_use]
    pub const fn new(verb: String, actor: String, reason: String) -> Self {
        Self {
            verb,
            actor,
            reason,
        }
    }
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
            by: None,
        }
    }
}

/// The id of an output that a swap has written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the identity of an output is these three"
)]
pub struct OutputId {
    /// The run whose step sends it.
    pub run: RunId,
    /// The version of the progress that was written with it.
    pub version: u64,
    /// Its place in [`Write::outputs`].
    pub index: u32,
}

/// A record that a step sends, kept until it is published.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Output {
    /// The id.
    pub id: OutputId,
    /// The record to be published.
    pub record: Record,
}

impl Output {
    /// Makes an output from its id and its record.
    #[must_use]
    pub const fn new(id: OutputId, record: Record) -> Self {
        Self { id, record }
    }
}

/// A run that does not move: all that a sweep needs to publish it again.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DueRun {
    /// The description.
    pub info: RunInfo,
    /// The step at the position of the progress; `None` where the plan has none.
    pub here: Option<PlannedStep>,
    /// The step after it; `None` where the plan has none.
    pub next: Option<PlannedStep>,
}

impl DueRun {
    /// Makes a run that is due from its parts.
    #[must_use]
    pub const fn new(info: RunInfo, here: Option<PlannedStep>, next: Option<PlannedStep>) -> Self {
        Self { info, here, next }
    }
}

/// A run as an operator sees it.
///
/// Displays as one line: id, entrypoint, status, step and the time of the last change. As JSON, `launch` is a text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunInfo {
    /// The id of the run.
    pub id: RunId,
    /// The operation's entrypoint.
    pub name: Name,
    /// The launch message, as it is on the wire.
    #[serde(serialize_with = "text")]
    pub launch: Bytes,
    /// The time of the launch.
    pub created: Timestamp,
    /// The progress.
    pub progress: Progress,
}

impl RunInfo {
    /// Makes a description from its parts.
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
        fmt::Display::fmt(&RunSummary::from(self), f)
    }
}

fn text<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    String::from_utf8_lossy(bytes).serialize(serializer)
}
