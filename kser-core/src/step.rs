use std::time::Duration;

use serde::Serialize;

use crate::cause::report;
use crate::sequencing::{External, PlannedStep, StepKey};
use crate::{Entrypoint, Error, Name, Object, RunId, TaskId, Topic};

/// One task to run, before it has an id: what an operation is built from.
///
/// A value with no JSON form, or a topic that cannot be one, is reported when the step is used, so that lists of steps
/// need no `?`.
#[derive(Debug, Clone)]
#[must_use = "a step does nothing until an operation is built from it"]
pub struct Step {
    entrypoint: Name,
    params: Result<Object, String>,
    topic: Option<Result<Topic, String>>,
    uuid: Option<TaskId>,
    record_key: Option<String>,
    external: Option<External>,
    attempts: Option<u32>,
}

impl Step {
    /// Makes a step that runs the task called [`Entrypoint::PATH`] with these params.
    pub fn new<P: Entrypoint>(params: P) -> Self {
        Self::named(P::PATH, &params)
    }

    /// Makes a step from a name that is known only as text.
    pub fn named<P: Serialize + ?Sized>(entrypoint: impl Into<Name>, params: &P) -> Self {
        Self {
            entrypoint: entrypoint.into(),
            params: Object::new(params).map_err(|error| report(&error)),
            topic: None,
            uuid: None,
            record_key: None,
            external: None,
            attempts: None,
        }
    }

    /// Gives the step this id, instead of one that is derived from the run's id and its position.
    pub fn with_id(mut self, uuid: impl Into<TaskId>) -> Self {
        self.uuid = Some(uuid.into());
        self
    }

    /// Sends this step to `topic` instead of where the route says.
    pub fn with_topic(mut self, topic: impl AsRef<str>) -> Self {
        self.topic = Some(Topic::new(topic).map_err(|error| error.to_string()));
        self
    }

    /// Orders this step with others of the same key, instead of with its run.
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.record_key = Some(key.into());
        self
    }

    /// Has the step run outside, such as by a consumer of the Python package, a service in Java or a person, from which a
    /// report of its end comes within `limit`.
    ///
    /// Where the state is stored, silence is a failed attempt. Where it is carried, nothing watches the limit: a step that
    /// is never reported stays RUNNING, and a report counts whenever it comes.
    pub const fn external(mut self, limit: Duration) -> Self {
        self.external = Some(External::new(limit));
        self
    }

    /// Sends an external step at most this many times in all; 1 unless set. A report of a failure, and one that cannot be
    /// read, is a failed attempt. Other steps follow the retry policy of their task, and ignore this.
    pub const fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Names what it runs.
    #[must_use]
    pub const fn entrypoint(&self) -> &Name {
        &self.entrypoint
    }

    /// Says whether it has an id of its own.
    pub(crate) const fn has_id(&self) -> bool {
        self.uuid.is_some()
    }

    pub(crate) fn planned(self, run: &RunId, position: u32) -> Result<PlannedStep, Error> {
        let invalid = |reason| Error::InvalidStep { position, reason };
        let attempts = self.attempts.unwrap_or(1).max(1);
        Ok(PlannedStep {
            key: StepKey {
                position,
                uuid: self.uuid.unwrap_or_else(|| run.step(position)),
                entrypoint: self.entrypoint,
            },
            params: self.params.map_err(invalid)?,
            topic: self.topic.transpose().map_err(invalid)?,
            record_key: self.record_key,
            external: self.external.map(|external| External {
                attempts,
                ..external
            }),
        })
    }
}
