use kser_core::sequencing::{External, PlannedStep, Progress};
use kser_core::store::{Found, Timed};
use kser_core::{Error, Name, RunId, TaskId, Timestamp, Topic};

use super::Runs;

/// The step at which a run stands, and where its message goes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunPlace {
    /// The time of the store, by which the times of the progress go.
    pub now: Timestamp,
    /// The progress.
    pub progress: Progress,
    /// The step, or the build; `None` at the end of the run.
    pub step: Option<StepPlace>,
}

/// A step of a run, and where its message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepPlace {
    /// The position of the step, counted from 1; 0 is the build.
    pub position: u32,
    /// The id of the step, by which the verbs name it; that of the run for the build.
    pub uuid: TaskId,
    /// The entrypoint of the task, or of the operation.
    pub entrypoint: Name,
    /// The topic of its message, with the prefix.
    pub topic: Topic,
    /// The group that receives from the topic.
    pub group: String,
    /// The limits of an external step; `None` for a step that a consumer of kser runs.
    pub external: Option<External>,
}

impl Runs {
    /// Returns the step at which a run stands, and where its message goes, for finding out why it stands.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status), and [`Error::InvalidTopic`] when the topic of the step cannot exist.
    pub async fn place(&self, id: &RunId) -> Result<RunPlace, Error> {
        let stored = self.stored("place")?;
        let Timed { now, value, .. } = stored.store.read(id).await?;
        let Found::Stands(standing) = value else {
            return Err(Error::UnknownRun { id: id.clone() });
        };
        let progress = standing.progress;
        let step = match (standing.here, progress.position()) {
            (Some(here), _) => Some(self.step_place(here)?),
            (None, 0) => {
                let operation = super::info(stored, id).await?.name;
                Some(self.place_of(0, id.clone().into(), operation, None, None)?)
            }
            (None, _) => None,
        };
        Ok(RunPlace {
            now,
            progress,
            step,
        })
    }

    fn step_place(&self, step: PlannedStep) -> Result<StepPlace, Error> {
        let key = step.key;
        self.place_of(
            key.position,
            key.uuid,
            key.entrypoint,
            step.topic,
            step.external,
        )
    }

    fn place_of(
        &self,
        position: u32,
        uuid: TaskId,
        entrypoint: Name,
        topic: Option<Topic>,
        external: Option<External>,
    ) -> Result<StepPlace, Error> {
        let routes = &self.shared.writer.routes;
        let topic = match topic {
            Some(topic) => routes.prefixed(&topic)?,
            None => routes.topic(&entrypoint)?,
        };
        Ok(StepPlace {
            position,
            uuid,
            entrypoint,
            group: routes.group(&topic),
            topic,
            external,
        })
    }
}
