use kser_core::sequencing::{Event, External, PlannedStep, Rejected, StepKey};
use kser_core::{Envelope, Error, Message, Outcome};

use super::decision::Decision;
use super::run::{Run, step_key};
use super::work::Work;
use super::worker::Worker;
use crate::post::too_large;
use crate::stored::{Along, Applied, Known, Tried};

impl Worker {
    /// Takes the end of an external step, told by whoever ran it.
    pub(super) async fn reported(
        &self,
        work: &mut Work,
        message: &Message,
    ) -> Result<Decision, Error> {
        let Some(envelope) = message.metadata.envelope() else {
            let error = "the report of an external step names no run: it must hand on the metadata of the step";
            return Ok(Decision::done(vec![self.letter(work, 0, error)?]));
        };
        let run = self.run_of(message, envelope)?;
        let mut outcome = message.result.clone();
        if let Err(error) = run.shared.post.outcome_fits(&outcome) {
            outcome = too_large(&error);
        }
        let run = self.with_rest(run, envelope)?;
        let mut known = self.told(&run, message, envelope).await?;
        let mut refused = false;
        loop {
            let step = step_told(message, envelope, &known);
            let event = Event::Reported {
                step,
                outcome: outcome.clone(),
                seen: super::task::seen(message),
            };
            if let (false, Err(error)) = (refused, run.must_fit(&known, event.clone())) {
                outcome = too_large(&error);
                refused = true;
                continue;
            }
            match run.apply_to(known, event, Along::default()).await? {
                Tried::Applied(applied) => return self.told_so(work, &run, &applied, &outcome),
                Tried::Conflict(Some(actual)) => known = run.known_at(actual).await?,
                Tried::Conflict(None) => return Ok(Decision::quiet()),
                Tried::Rejected(Rejected::Ahead { position }, _) => {
                    return self.ahead(work, &run, position);
                }
                Tried::Rejected(rejected @ (Rejected::UnknownStep | Rejected::NotExternal), _) => {
                    let letter = self.letter(work, 0, &rejected.to_string())?;
                    return Ok(Decision::done(vec![letter]));
                }
                Tried::Rejected(rejected, _) => {
                    tracing::warn!(target: "kser", uuid = ?message.uuid, %rejected, "a report is not accepted");
                    return Ok(Decision::quiet());
                }
            }
        }
    }

    fn with_rest<'a>(&self, mut run: Run<'a>, envelope: &Envelope) -> Result<Run<'a>, Error> {
        if run.stored.is_none() {
            (_, run.rest) = super::task::next_step(envelope)?;
        }
        Ok(run)
    }

    /// Where the run stands, as far as the reporter's message or the store tells.
    async fn told(
        &self,
        run: &Run<'_>,
        message: &Message,
        envelope: &Envelope,
    ) -> Result<Known, Error> {
        if let (Some(stored), Some(id)) = (&run.stored, run.id()) {
            return stored.known(id).await;
        }
        let mut known = self.seen(message, envelope)?;
        // What it was given is not in the report: whoever ran it has merged already.
        *known.progress = kser_core::sequencing::Progress::seen(envelope, Outcome::default());
        let mut here = PlannedStep::new(step_key(message, envelope.step), message.params.clone());
        here.external = Some(External::new(std::time::Duration::ZERO));
        known.here = Some(Box::new(here));
        Ok(known)
    }

    fn told_so(
        &self,
        work: &Work,
        run: &Run<'_>,
        applied: &Applied,
        outcome: &Outcome,
    ) -> Result<Decision, Error> {
        let (before, after) = (&applied.before, &applied.after);
        let records = run.records(&before.progress, after, before.near())?;
        tracing::info!(target: "kser", run = ?run.id(), retcode = outcome.retcode(), "an external step has ended");
        self.follow(work, records, after)
    }
}

/// The step that is meant: a report hands on the uuid and the metadata, and has an entrypoint of its own.
fn step_told(message: &Message, envelope: &Envelope, known: &Known) -> StepKey {
    let here = known.here.as_ref().map(|here| &here.key);
    let entrypoint = here.filter(|key| key.uuid == message.uuid);
    StepKey {
        position: envelope.step,
        uuid: message.uuid.clone(),
        entrypoint: entrypoint
            .map_or_else(|| message.entrypoint.clone(), |key| key.entrypoint.clone()),
    }
}
