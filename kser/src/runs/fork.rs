use std::sync::Arc;

use bytes::Bytes;
use kser_core::sequencing::{Effect, Event, PlannedStep, Progress, Transition, apply};
use kser_core::store::{Inserted, NewRun, RunInfo};
use kser_core::{Error, Outcome, RunId, Status};
use tracing::Instrument;

use super::{Runs, info};
use crate::engine::run_ref::RunRef;
use crate::engine::run_view::RunView;
use crate::engine::stored::{Stored, run_ref};
use crate::launch_records::publish_first;
use crate::observer::Observation;
use crate::publish::maybe_sent;
use crate::run::Run;
use crate::traces::verb_span;

impl Runs {
    /// Launches a new run that repeats a run from step `from` on, counted from 1. Its ids, and so its idempotency keys,
    /// are new; the outcomes of the steps before are kept.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when a step before `from` is not done, or was done in the run that this one was forked from,
    /// [`Error::MaybeSent`] with the new run's id when it is unknown whether the new run begins. Otherwise as
    /// [`status`](Self::status).
    pub async fn fork(&self, id: &RunId, from: u32) -> Result<Run, Error> {
        let stored = self.stored("fork")?;
        let origin = info(stored, id).await?;
        let steps = origin.progress.steps();
        if from == 0 || from > steps || from > origin.progress.position() {
            return Err(Error::Invalid {
                what: format!("a fork of {id} from step {from}"),
                reason: format!(
                    "it stands at step {} of {steps}",
                    origin.progress.position()
                ),
            });
        }
        let new = RunId::from(stored.shared.ids.next_id());
        let kept = stored.store.watch(&new);
        let mut plan = Vec::new();
        for position in 1..=steps {
            let step = stored.store.step(id, position).await?;
            let step = step.ok_or_else(|| Error::UnknownRun { id: id.clone() })?;
            plan.push(with_ids_of(step, &new));
        }
        let forwarded = match from {
            1 => Outcome::default(),
            _ => self.accepted(&origin, from - 1).await?,
        };
        let mut run = RunRef {
            id: new,
            ..run_ref(&origin)?
        };
        let span = verb_span(stored.shared.tracer(), "fork", &run.id, &mut run.metadata);
        let begun = begin_fork(stored, &run, &origin, plan, from, forwarded);
        begun.instrument(span).await?;
        stored.shared.observe(&Observation::RunRepaired {
            operation: &run.name,
            verb: "fork",
        });
        Ok(Run::stored(
            Arc::clone(&self.shared),
            run.id,
            run.name,
            kept,
        ))
    }

    /// Returns the accepted outcome of a step. A fork keeps the outcome that it was made with only until its first step is
    /// done.
    async fn accepted(&self, origin: &RunInfo, position: u32) -> Result<Outcome, Error> {
        let progress = &origin.progress;
        if progress.position() == position + 1 {
            return Ok(progress.outcome().clone());
        }
        let attempts = self.all_attempts(&origin.id).await?;
        let done = attempts
            .into_iter()
            .rev()
            .find(|attempt| attempt.position == position && attempt.status == Status::Success);
        let done = done.ok_or_else(|| Error::Invalid {
            what: format!("a fork of {} from step {}", origin.id, position + 1),
            reason: format!("step {position} is done in the run that it was forked from"),
        })?;
        Ok(done.outcome)
    }
}

/// Gives a step the id that it has in another run.
fn with_ids_of(mut step: PlannedStep, run: &RunId) -> PlannedStep {
    step.key.uuid = run.step(step.key.position);
    step
}

async fn begin_fork(
    stored: Stored<'_>,
    run: &RunRef,
    origin: &RunInfo,
    plan: Vec<PlannedStep>,
    from: u32,
    forwarded: Outcome,
) -> Result<(), Error> {
    let index = usize::try_from(from).unwrap_or_default().saturating_sub(1);
    let here = plan.get(index).cloned();
    let origin_was = &origin.progress;
    let forked = Progress::forked(
        origin_was.steps(),
        from,
        forwarded,
        stored.shared.store_clock.now(),
    )
    .with_step_events(origin_was.wants_step_events())
    .with_status_hook(origin_was.wants_status_hook());
    let before = RunView {
        progress: Box::new(forked),
        here: here.map(Box::new),
        next: None,
    };
    let after = send_first(stored, run, &before)?.with_stamp(stored.shared.next_stamp());
    let records = stored.records(run, &before, &after, None)?;
    let here = before.here.as_deref();
    let here = here.ok_or_else(|| Error::UnknownRun { id: run.id.clone() })?;
    let topic = stored.shared.writer.awaited(run, here)?;
    let launch: Bytes = origin.launch.clone();
    let digest = format!("fork of {} from {from}", origin.id);
    let new = NewRun::new(
        run.id.clone(),
        run.name.clone(),
        topic,
        launch,
        digest,
        after.progress.clone(),
    );
    let new = new.with_plan(plan).with_outputs(records.clone());
    let inserted = stored.store.insert(new).await;
    let inserted = inserted.map_err(|error| maybe_sent(error, &run.id.clone().into()))?;
    if stored.shared.store_clock.observe(inserted) != Inserted::New {
        return Err(Error::Conflict { id: run.id.clone() });
    }
    publish_first(stored, run, Some(after.progress.version()), records).await
}

/// Decides the transition that sends the first step of a fork, with the rules for any step. Its status event changes from
/// `Pending`, since a fork has no earlier status.
fn send_first(stored: Stored<'_>, run: &RunRef, forked: &RunView) -> Result<Transition, Error> {
    let here = forked.here.as_ref();
    let step = here.map(|here| here.key.clone());
    let event = Event::Retried {
        step: step.ok_or_else(|| Error::UnknownRun { id: run.id.clone() })?,
    };
    let now = stored.shared.store_clock.now();
    let sent = apply(&forked.progress, forked.near(), event, now);
    let mut sent = sent.map_err(|source| Error::Rejected {
        id: run.id.clone(),
        source,
    })?;
    sent.effects.push(Effect::StatusChanged {
        from: Status::Pending,
        to: sent.progress.status(),
    });
    Ok(sent)
}
