//! The documents of JSON that are made of several answers. `schema.json` describes all documents.

use kser::run::{RunEvent, RunId, Status, Timestamp};
use serde::Serialize;

use crate::diagnosis::Diagnosis;
use crate::error::{ErrorKind, OpsError};
use crate::estimate::Estimate;
use crate::letter::Letter;
use crate::ops::runs::RunShown;

/// The JSON schema of all documents of the program `kser` and of its HTTP interface. Its member `x-commands` names the document of each
/// command. Later versions add members, and remove or rename none.
pub const SCHEMA: &str = include_str!("../schema.json");

/// The plan of an act, and its report if it was carried out.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ActDocument<'a, P, R> {
    /// The plan.
    pub plan: &'a P,
    /// The report; `None` when nothing was done.
    pub report: Option<&'a R>,
}

/// A dead letter with its payload.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LetterDocument<'a> {
    /// The letter.
    #[serde(flatten)]
    pub letter: &'a Letter,
    /// The payload as text, which is not shown unless it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<&'a str>,
}

/// A run with the reason why it stands.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RunDocument<'a> {
    /// The run with its attempts.
    #[serde(flatten)]
    pub run: &'a RunShown,
    /// The reason.
    pub diagnosis: &'a Diagnosis,
    /// The estimate of the time until the end.
    pub left: Option<&'a Estimate>,
}

/// The id of a run or a task that was made.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct IdDocument<'a> {
    /// The id.
    pub id: &'a str,
}

/// An event of a run: a change of its status.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EventLine {
    /// The run.
    pub run: RunId,
    /// The name of the operation.
    pub operation: String,
    /// The number of the change: a second event with it is a repetition.
    pub version: u64,
    /// The position of the step at which the run stands, from 1; 0 is the build.
    pub position: u32,
    /// The number of steps; 0 while it is not known.
    pub steps: u32,
    /// The status before.
    pub from: Status,
    /// The status after.
    pub status: Status,
    /// The time of the change.
    #[serde(serialize_with = "crate::json::at")]
    pub at: Timestamp,
    /// The error of a run that has failed.
    pub error: Option<String>,
    /// Whether a dead letter was replayed: the events from this one on replace an earlier end.
    pub replay: bool,
}

impl EventLine {
    /// Describes an event. Its outcome is left out, which may have secrets.
    #[must_use]
    pub fn new(event: &RunEvent) -> Self {
        let error = event.outcome.as_ref().and_then(kser::Outcome::error);
        Self {
            run: event.run.clone(),
            operation: event.name.to_string(),
            version: event.version,
            position: event.position,
            steps: event.of,
            from: event.from,
            status: event.status,
            at: event.at,
            error: error.map(|error| error.to_string()),
            replay: event.replay,
        }
    }
}

/// An error as JSON.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ErrorDocument<'a> {
    /// The error.
    pub error: ErrorFields<'a>,
}

/// The fields of an [`ErrorDocument`].
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct ErrorFields<'a> {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The error for people.
    pub message: &'a str,
    /// Whether a retry may succeed.
    pub temporary: bool,
}

impl<'a> ErrorDocument<'a> {
    /// Makes the document of an error, of which `message` is the text.
    #[must_use]
    pub fn new(error: &OpsError, message: &'a str) -> Self {
        Self::of(error.kind(), message, error.is_temporary())
    }

    /// Makes the document of an error from its parts.
    #[must_use]
    pub const fn of(kind: ErrorKind, message: &'a str, temporary: bool) -> Self {
        Self {
            error: ErrorFields {
                kind,
                message,
                temporary,
            },
        }
    }
}
