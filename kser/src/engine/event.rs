use kser_core::sequencing::{Progress, Transition};
use kser_core::{Error, Name, Outcome, Raw, Record, RunId, Status, Timestamp};
use serde::{Deserialize, Serialize};

use crate::payloads::Payloads;

/// A change of a run, as published to the events topic: keyed by the run's id, never with its plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunEvent {
    /// The version of this form, 1.
    pub v: u8,
    /// The run.
    pub run: RunId,
    /// The operation's entrypoint.
    pub name: Name,
    /// Grows with every change of the run; a second event of one version is a repetition.
    pub version: u64,
    /// The first step that is not done, counted from 1; 0 is the build.
    pub position: u32,
    /// The number of steps; 0 before the build is done.
    pub of: u32,
    /// The status before the change. The same as `status` for the event of a step.
    pub from: Status,
    /// The status after the change.
    pub status: Status,
    /// The time of the change.
    pub at: Timestamp,
    /// The final outcome at an end, and the accepted outcome of a step where events of steps were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Whether a dead letter was replayed: the events from this one on replace an earlier end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replay: bool,
}

impl RunEvent {
    /// Makes the event of a change to where the run stands now.
    pub(crate) fn changed(
        run: RunId,
        name: Name,
        progress: &Progress,
        from: Status,
        at: Timestamp,
    ) -> Self {
        let status = progress.status();
        let outcome = status
            .is_terminal()
            .then(|| progress.last_outcome().clone());
        Self {
            v: 1,
            run,
            name,
            version: progress.version(),
            position: progress.position(),
            of: progress.steps(),
            from,
            status,
            at,
            outcome,
            replay: false,
        }
    }

    /// Makes the event of a step that was accepted while the status stays as it is, if one was asked for.
    pub(crate) fn step(
        run: &RunId,
        name: &Name,
        before: &Progress,
        after: &Transition,
        at: Timestamp,
    ) -> Option<Self> {
        let progress = &after.progress;
        let moved = progress.position() > before.position() && before.position() > 0;
        let same = progress.status() == before.status();
        (moved && same && progress.wants_step_events()).then(|| Self {
            outcome: Some(progress.outcome().clone()),
            ..Self::changed(run.clone(), name.clone(), progress, before.status(), at)
        })
    }

    /// Reads one from the payload of a record of the events topic.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when it is none.
    pub fn decode(payload: &[u8]) -> Result<Self, Error> {
        Ok(Raw::from_slice(payload)?.parse()?)
    }

    /// Reads the event of a record, which may be encrypted.
    pub(crate) async fn read(record: &Record, payloads: &Payloads) -> Result<Self, Error> {
        let payload = record.payload.clone().unwrap_or_default();
        Self::decode(&payloads.open_or_load(&payload, &record.topic).await?)
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|error| Error::Encode {
            source: error.into(),
        })
    }
}
