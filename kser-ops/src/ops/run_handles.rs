use kser::Outcome;
use kser::message::{Object, TaskId};
use kser::run::{Events, Run, RunId, RunState, Status, Timestamp};

use crate::error::OpsError;
use crate::ops::Ops;

/// The attempts that are read at once: each may have a large outcome.
const PAGE: usize = 100;

impl Ops {
    /// Returns where a run stands.
    ///
    /// # Errors
    ///
    /// [`OpsError::Needs`] without a store; an unknown run is [`kser::Error::UnknownRun`].
    pub async fn run_state(&self, id: &RunId) -> Result<RunState, OpsError> {
        Ok(self.store_runs("a look at a run")?.status(id).await?)
    }

    /// Waits until a run has ended, however it ended.
    ///
    /// # Errors
    ///
    /// As [`run_state`](Self::run_state).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn wait_run(&self, id: &RunId) -> Result<RunState, OpsError> {
        Ok(self.store_runs("a wait for a run")?.wait(id).await?)
    }

    /// Returns the outcome of a run, or the accepted outcome of one of its steps.
    ///
    /// # Errors
    ///
    /// [`OpsError::NotFound`] for a step that is not done. Otherwise as [`run_state`](Self::run_state).
    pub async fn run_outcome(&self, id: &RunId, step: Option<u32>) -> Result<Outcome, OpsError> {
        let runs = self.store_runs("the outcome of a run")?;
        let Some(step) = step else {
            return Ok(runs.status(id).await?.outcome);
        };
        let (mut accepted, mut after) = (None, None);
        loop {
            let page = runs.attempts(id, after.as_ref(), PAGE).await?;
            let mut of_step = page.rows.into_iter().rev();
            let last = of_step.find(|row| row.position == step && row.status == Status::Success);
            accepted = last.map(|row| row.outcome).or(accepted);
            after = page.next;
            if after.is_none() {
                return accepted.ok_or_else(|| OpsError::NotFound {
                    what: format!("step {step} of run {id} is not done"),
                });
            }
        }
    }

    /// Launches a new run that repeats a run from a step on, counted from 1, and returns its id.
    ///
    /// # Errors
    ///
    /// As [`run_state`](Self::run_state), and those of [`kser::run::Runs::fork`].
    pub async fn fork_run(&self, id: &RunId, from: u32) -> Result<RunId, OpsError> {
        let forked = self.store_runs("a fork")?.fork(id, from).await?;
        Ok(forked.id().clone())
    }

    /// Launches an operation by its name.
    ///
    /// # Errors
    ///
    /// [`OpsError::Needs`] without Kafka: the launch is a message.
    pub async fn launch(
        &self,
        name: &str,
        params: Object,
        id: Option<&str>,
    ) -> Result<Run, OpsError> {
        self.needs_kafka("a launch")?;
        let launch = self.client.producer().launch_named(name, params);
        Ok(match id {
            Some(id) => launch.with_id(id).await?,
            None => launch.await?,
        })
    }

    /// Opens the events of all runs since a time: the changes of their status.
    ///
    /// # Errors
    ///
    /// As [`launch`](Self::launch), and those of [`kser::Client::events`].
    pub async fn events(&self, from: Timestamp) -> Result<Events, OpsError> {
        self.needs_kafka("the events of runs")?;
        Ok(self.client.events(from).await?)
    }

    /// Sends a task by its name.
    ///
    /// # Errors
    ///
    /// As [`launch`](Self::launch).
    pub async fn send(
        &self,
        entrypoint: &str,
        params: Object,
        key: Option<&str>,
    ) -> Result<TaskId, OpsError> {
        self.needs_kafka("sending a task")?;
        let send = self.client.producer().send_named(entrypoint, params);
        Ok(match key {
            Some(key) => send.with_key(key.to_owned()).await?,
            None => send.await?,
        })
    }
}
