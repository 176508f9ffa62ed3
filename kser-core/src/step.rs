use std::time::Duration;

use serde::Serialize;

use crate::cause::report;
use crate::sequencing::{External, PlannedStep, StepKey};
use crate::{Entrypoint, Error, Name, Object, RunId, TaskId, Topic};

/// A task of an operation that is being built, before it has an id.
///
/// Params without a JSON form and an invalid topic are reported when the plan is built, so that lists of steps need no `?`.
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
    /// Makes a step that runs the task [`Entrypoint::PATH`] with these params.
    pub fn new<P: Entrypoint>(params: P) -> Self {
        Self::named(P::PATH, &params)
    }

    /// Makes a step that runs the task of any name.
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

    /// Sets the id of the step. Defaults to an id that is derived from that of the run and the position.
    pub fn with_id(mut self, uuid: impl Into<TaskId>) -> Self {
        self.uuid = Some(uuid.into());
        self
    }

    /// Sets the topic of the step. Defaults to that of the route.
    pub fn with_topic(mut self, topic: impl AsRef<str>) -> Self {
        self.topic = Some(Topic::new(topic).map_err(|error| error.to_string()));
        self
    }

    /// Sets the ordering key of the step. Defaults to the id of the run.
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.record_key = Some(key.into());
        self
    }

    /// Makes the step an external one: a consumer of the Python package, a service in Java or a person runs it, and reports
    /// its end within `limit`.
    ///
    /// Where the state is stored, an attempt without a report in time has failed. Where it is carried, no consumer watches
    /// the limit: a step that is never reported stays RUNNING, and a report counts whenever it comes.
    pub const fn external(mut self, limit: Duration) -> Self {
        self.external = Some(External::new(limit));
        self
    }

    /// Sets the number of times that an external step is sent in all. Defaults to 1. A report of a failure, and a report
    /// that cannot be read, is a failed attempt. Other steps follow the retry policy of their task, and ignore this
    /// number.
    pub const fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// Returns the name of the task.
    #[must_use]
    pub const fn entrypoint(&self) -> &Name {
        &self.entrypoint
    }

    /// Says whether the step was given an id.
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
