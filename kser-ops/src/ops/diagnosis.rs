use kser::Error;
use kser::presence::AnnouncedConsumer;
use kser::run::{RunFilter, RunId, RunPlace, Status};

use crate::diagnosis::{Diagnosis, Queue, RunFacts};
use crate::error::OpsError;
use crate::estimate::{Estimate, StepTimes};
use crate::ops::Ops;

/// The runs by whose times a run is estimated, the latest ones.
const RUNS: usize = 20;

/// The most attempts of such a run that are read. A longer run is not estimated.
const MOST_ATTEMPTS: usize = 200;

impl Ops {
    /// Lists the consumers that announce themselves, by their ids.
    ///
    /// # Errors
    ///
    /// [`OpsError::NotFound`] when the topic of the announcements does not exist, [`OpsError::Kser`] when the backend does not
    /// answer.
    pub async fn consumers(&self) -> Result<Vec<AnnouncedConsumer>, OpsError> {
        match self.client.announced_consumers().await {
            Err(Error::MissingTopic { topic }) => Err(OpsError::NotFound {
                what: format!(
                    "consumers do not announce themselves: topic {topic} does not exist; `ensure_topics` creates it"
                ),
            }),
            listed => Ok(listed?),
        }
    }

    /// Says why a run stands, and the next command. Facts that cannot be asked, as where Kafka does not answer, are left out.
    ///
    /// # Errors
    ///
    /// [`OpsError::Needs`] without a store, [`OpsError::Kser`] when it does not know the run, or does not answer.
    pub async fn diagnose(&self, run: &RunId) -> Result<Diagnosis, OpsError> {
        Ok(self.facts(run).await?.diagnose())
    }

    /// Gathers the facts about a run, from its store, its topic and the consumers.
    ///
    /// # Errors
    ///
    /// As [`diagnose`](Self::diagnose).
    pub async fn facts(&self, run: &RunId) -> Result<RunFacts, OpsError> {
        let runs = self.client.runs();
        let RunPlace {
            now,
            progress,
            step,
            ..
        } = runs.place(run).await?;
        let mut facts = RunFacts::new(run.clone(), now, progress.status());
        facts.position = progress.position();
        facts.attempts = progress.made_attempts();
        facts.not_before = progress.not_before();
        facts.check_at = progress.check_at();
        if progress.is_started() {
            let lease = progress.lease();
            facts.lease = lease.map(|lease| (lease.owner.instance.to_string(), lease.until));
        }
        facts.updated = progress.updated();
        facts.error = progress.failure().map(|failure| failure.shown().to_owned());
        if facts.error.is_none() && facts.attempts > 0 {
            let last = runs.latest_attempts(run, 1).await?;
            let outcome = last.first().map(|attempt| attempt.outcome.shown());
            facts.error = outcome.map(str::to_owned);
        }
        let Some(step) = step else {
            return Ok(facts);
        };
        facts.entrypoint = step.entrypoint.to_string();
        facts.topic = step.topic.to_string();
        facts.group = step.group.clone();
        facts.is_external = step.external.is_some();
        if !progress.status().is_terminal() {
            facts.consumers = self.client.announced_consumers().await.ok();
            if let Ok(inspect) = self.inspect("looking at a topic") {
                facts.queue = match inspect.progress(&step.group, &step.topic).await {
                    Ok(found) => Some(Queue::Unsettled(
                        found.iter().map(|partition| partition.unsettled).sum(),
                    )),
                    Err(Error::MissingTopic { .. }) => Some(Queue::Missing),
                    Err(_) => None,
                };
            }
        }
        Ok(facts)
    }

    /// Estimates the time until the end of a run, by the times that the steps of the latest runs of its operation took. `None` for a run
    /// that has ended or is not built, for one of more than 200 attempts, and without at least five runs that have succeeded.
    ///
    /// # Errors
    ///
    /// As [`diagnose`](Self::diagnose).
    pub async fn estimate(&self, run: &RunId) -> Result<Option<Estimate>, OpsError> {
        let runs = self.client.runs();
        let RunPlace { now, progress, .. } = runs.place(run).await?;
        let (position, steps) = (progress.position(), progress.steps());
        if progress.status() != Status::Running || steps == 0 {
            return Ok(None);
        }
        let name = runs.info(run).await?.name;
        let filter = RunFilter::default().with_name(name.as_str());
        let filter = filter.with_status(Status::Success).with_limit(RUNS);
        let mut times = StepTimes::default();
        for ended in runs.list(&filter).await?.rows {
            let attempts = runs.attempts(&ended.id, None, MOST_ATTEMPTS).await?;
            if attempts.next.is_none() {
                times.add(ended.created, &attempts.rows);
            }
        }
        let consumers = self.client.announced_consumers().await.unwrap_or_default();
        let running = consumers.iter().flat_map(|consumer| {
            let running = consumer.presence.running.iter();
            running.map(move |task| (consumer, task))
        });
        let mut ours = running.filter(|(_, task)| task.run.as_ref() == Some(run));
        let (here, share) = match ours.next() {
            Some((consumer, task)) => {
                let progress = task.progress.as_ref();
                let share = progress.and_then(|progress| progress.share());
                (consumer.running_for(task), share)
            }
            None => (now.since(progress.updated()), None),
        };
        Ok(times.estimate((position, steps), here, share))
    }
}
