use std::sync::Arc;

use kser_core::sequencing::{Event, PlannedStep, Progress, StepKey, carried};
use kser_core::store::Attempt;
use kser_core::{
    AwaitRun, Context, Envelope, Error, Message, Name, Outcome, Raw, TaskError, Timestamp, Topic,
};
use tracing::Instrument;

use super::finish::Attempted;
use super::handler::{self, Bounds, Ended};
use super::job::Job;
use super::lease::Lease;
use super::run::{Run, step_key};
use super::run_waits::Waits;
use crate::consumer::active::RunningTask;
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::state::DeliveryState;
use crate::consumer::graceful_leave::Running;
use crate::consumer::processor::Processor;
use crate::engine::stored::{Applied, RunView, SwapOutcome, WriteExtras, WriteOutcome};

/// What a job leaves when it succeeds, or fails without an error.
#[derive(Debug)]
pub(crate) enum Product {
    Outcome(Outcome),
    Plan(kser_core::Plan),
}

/// What one message asks of this consumer, and of which run.
#[derive(Debug)]
pub(crate) struct StepExecution<'a> {
    pub(crate) message: &'a Message,
    pub(crate) job: Job<'a>,
    pub(crate) run: Run<'a>,
    pub(crate) step: StepKey,
}

/// Whether an attempt began.
enum Begun {
    Run(RunView),
    Not(Disposition),
}

impl Processor {
    /// Runs a task, a build or a hook: begin, attempt, end.
    pub(crate) async fn run<'a>(
        &'a self,
        work: &mut DeliveryState,
        message: &'a Message,
        job: Job<'a>,
    ) -> Result<Disposition, Error> {
        let (task, known) = match job {
            Job::Build(_) => match Box::pin(self.open_launch(work, message, job)).await? {
                Ok(opened) => opened,
                Err(decision) => return Ok(decision),
            },
            _ => self.open(work, message, job)?,
        };
        match self.begin(work, &task, known).await? {
            Begun::Run(known) => self.attempt(work, task, known).await,
            Begun::Not(decision) => Ok(decision),
        }
    }

    /// Finds out where the state lives, and what is known of it.
    fn open<'a>(
        &'a self,
        work: &mut DeliveryState,
        message: &'a Message,
        job: Job<'a>,
    ) -> Result<(Box<StepExecution<'a>>, RunView), Error> {
        let envelope = message.metadata.envelope();
        let step = envelope.filter(|_| matches!(job, Job::Task(_)));
        let Some(envelope) = step.filter(|envelope| envelope.reply.is_none()) else {
            // Someone else's external step is a lone task here, whose end is reported.
            let reply = step.and_then(|envelope| envelope.reply.clone());
            return Ok(self.open_lone(work, message, job, reply));
        };
        let mut run = self.run_of(message, envelope)?;
        let mut known = match work.known.take() {
            Some(known) => known,
            None => self.seen(message, envelope)?,
        };
        if run.stored.is_none() {
            (_, run.rest) = next_step(envelope)?;
            known = counted(known, work);
        }
        let step = step_key(message, envelope.step);
        let task = StepExecution {
            message,
            job,
            run,
            step,
        };
        Ok((Box::new(task), known))
    }

    fn open_lone<'a>(
        &'a self,
        work: &DeliveryState,
        message: &'a Message,
        job: Job<'a>,
        reply: Option<Topic>,
    ) -> (Box<StepExecution<'a>>, RunView) {
        let step = step_key(message, 1);
        let known = RunView {
            progress: Box::new(Progress::lone(message.result.clone())),
            here: Some(Box::new(PlannedStep::new(
                step.clone(),
                message.params.clone(),
            ))),
            next: None,
        };
        let run = Run {
            shared: &self.shared,
            of: None,
            stored: None,
            rest: None,
            launch: None,
            reply,
        };
        let task = StepExecution {
            message,
            job,
            run,
            step,
        };
        (Box::new(task), counted(known, work))
    }

    async fn begin(
        &self,
        work: &mut DeliveryState,
        task: &StepExecution<'_>,
        mut known: RunView,
    ) -> Result<Begun, Error> {
        let run = &task.run;
        loop {
            if let Job::Build(entry) = task.job {
                // Known from the first write on, so that the owner is told of a build that fails, too.
                let progress = Progress::clone(&known.progress);
                *known.progress = progress.with_status_hook(entry.has_status_hook());
            }
            let event = Event::Started {
                step: task.step.clone(),
                lease: run.lease(&self.owner, self.options.lease),
                alone: work.alone,
                seen: seen(task.message),
            };
            match self.start(work, task, known, event).await? {
                SwapOutcome::Applied(applied) => {
                    let (before, after) = (applied.before, applied.after);
                    let is_here = after.progress.position() == task.step.position;
                    if after.changed && after.progress.is_started() && is_here {
                        let progress = Box::new(after.progress);
                        return Ok(Begun::Run(RunView { progress, ..before }));
                    }
                    let records = run.records(&before.progress, &after, before.near())?;
                    return Ok(Begun::Not(self.follow(work, records, &after)?));
                }
                SwapOutcome::Conflict(Some(actual)) => {
                    known = Box::pin(run.known_at(actual)).await?;
                    // The message is older than what the lost write was based on: the start that is found is this one.
                    if work.unsure.contains(&known.progress.revision()) {
                        work.unsure.clear();
                        return Ok(Begun::Run(known));
                    }
                }
                SwapOutcome::Conflict(None) => {
                    let gone = Box::pin(self.gone(work, task));
                    return gone.await.map(Begun::Not);
                }
                SwapOutcome::Rejected(rejected, known) => {
                    let decision = self.not_now(work, run, &rejected, known)?;
                    return Ok(Begun::Not(decision));
                }
            }
        }
    }

    /// Writes that an attempt begins. A write whose answer did not come is repeated with its stamp, by which the store knows
    /// it: the attempt that it began is this one.
    async fn start(
        &self,
        work: &mut DeliveryState,
        task: &StepExecution<'_>,
        known: RunView,
        event: Event,
    ) -> Result<SwapOutcome, Error> {
        let run = &task.run;
        let (Some(stored), Some(of)) = (&run.stored, &run.of) else {
            return run.apply_to(known, event, WriteExtras::default()).await;
        };
        let mut after = match stored.decide(&known, event) {
            Ok(after) => after,
            Err(rejected) => return Ok(SwapOutcome::Rejected(rejected, known)),
        };
        let version = after.progress.version();
        let unsure = work.unsure.iter().find(|unsure| unsure.version == version);
        let is_known = unsure.is_some();
        if let Some(unsure) = unsure {
            after = after.with_stamp(unsure.stamp);
        }
        let mut before = known;
        if after.changed {
            let along = WriteExtras {
                attempt: lost_attempt(&before.progress, task, stored.now()),
                ..WriteExtras::default()
            };
            match Box::pin(stored.write(of, &mut before, &after, &along)).await {
                Ok(WriteOutcome::Yes) => work.unsure.clear(),
                Ok(WriteOutcome::Elsewhere(actual)) => return Ok(SwapOutcome::Conflict(actual)),
                Err(error) => {
                    if !is_known {
                        work.unsure.push(after.progress.revision());
                    }
                    return Err(error);
                }
            }
        }
        Ok(SwapOutcome::Applied(Box::new(Applied { before, after })))
    }

    /// The store does not know the run: it may have been purged, or restored from a backup.
    async fn gone(
        &self,
        work: &mut DeliveryState,
        task: &StepExecution<'_>,
    ) -> Result<Disposition, Error> {
        if self.may_wait(work) {
            return Ok(self.look_again(work));
        }
        let text = format!("operation {:?} is unknown to the store", task.run.id());
        let outcome = Outcome::from(&TaskError::new("UnknownRun", text).with_code(404));
        self.give_up(work, task.message, outcome).await
    }

    async fn attempt(
        &self,
        work: &mut DeliveryState,
        task: Box<StepExecution<'_>>,
        known: RunView,
    ) -> Result<Disposition, Error> {
        let began = task.run.now();
        let (attempt, counted) = (known.progress.attempts(), known.progress.counted_attempts());
        let waits = Arc::new(self.waits(work, &task.message.entrypoint));
        let runs: Arc<dyn AwaitRun> = Arc::<Waits>::clone(&waits);
        work.waits = Some(waits);
        let ctx = self.context(&task, &known).with_runs(runs);
        let (ended, known) = self.bounded(work, &task, &ctx, known).await;
        let attempted = Attempted {
            attempt,
            counted,
            first_failed: known.progress.first_failed(),
            began,
        };
        match ended {
            Ended::Returned(returned) => {
                self.end(work, task, known, attempted, &ctx, returned).await
            }
            Ended::Overdue(error) => {
                self.end(work, task, known, attempted, &ctx, Err(error))
                    .await
            }
            Ended::Interrupted => Box::pin(self.interrupted(&task, known, &attempted)).await,
            Ended::Lost => {
                tracing::warn!(target: "kser", uuid = ?task.message.uuid, "another consumer has the step; the outcome of this attempt is dropped");
                Ok(Disposition::ack())
            }
        }
    }

    fn waits(&self, work: &DeliveryState, entrypoint: &Name) -> Waits {
        let of_entrypoint = self.places_of.get(entrypoint);
        let places = std::iter::once(&self.places).chain(of_entrypoint);
        Waits::new(
            Arc::clone(&self.shared),
            places.cloned().collect(),
            Arc::clone(&self.parked),
            work.record.size(),
        )
    }

    /// Runs the handler within its bounds, and keeps the lease.
    async fn bounded(
        &self,
        work: &DeliveryState,
        task: &StepExecution<'_>,
        ctx: &Context,
        known: RunView,
    ) -> (Ended<Product>, RunView) {
        let _running = self.running.insert(RunningTask {
            entrypoint: task.message.entrypoint.clone(),
            uuid: task.message.uuid.clone(),
            run: task.run.id().cloned(),
            attempt: ctx.attempt(),
            since: task.run.now(),
        });
        let stored = task.run.of.as_ref().filter(|_| task.run.stored.is_some());
        let _attempt = stored.map(|run| {
            self.attempts.insert(Running {
                run: run.without_metadata(),
                step: task.step.clone(),
                attempt: known.progress.attempts(),
            })
        });
        let mut lease = match (&task.run.stored, &task.run.of) {
            (Some(_), Some(of)) => self.leases.take(of, &task.step, known.clone()),
            _ => Lease::none(&self.leases),
        };
        let bounds = Bounds {
            told: ctx.cancellation(),
            revoked: &work.revoked,
            cancel: &self.cancel,
            kill: &self.kill,
            limit: task.job.time_limit(),
        };
        let span = super::span::of(task, ctx);
        let handler = self.handle(task.job, ctx, task.message).instrument(span);
        let ended = match handler::run(handler, bounds, &mut lease).await {
            Ended::Overdue(error) => {
                task.job.tell_failed(ctx, &error).await;
                Ended::Returned(Err(error))
            }
            ended => ended,
        };
        (ended, lease.into_known().unwrap_or(known))
    }

    async fn handle(
        &self,
        job: Job<'_>,
        ctx: &Context,
        message: &Message,
    ) -> Result<Product, TaskError> {
        match job {
            Job::Task(entry) => {
                let ran = self.layers.run(entry, ctx, &message.params).await;
                ran.map(Product::Outcome)
            }
            Job::Build(entry) => {
                let most = self.shared.writer.limits.steps;
                let built = Box::pin(entry.build_at_most(ctx, message, most)).await;
                built.map(Product::Plan)
            }
            Job::Hook(entry) => {
                let change = message.params.parse().map_err(TaskError::from)?;
                Box::pin(entry.on_status(&change)).await?;
                Ok(Product::Outcome(Outcome::default()))
            }
        }
    }

    fn context(&self, task: &StepExecution<'_>, known: &RunView) -> Context {
        let run = &task.run;
        let fence = run.stored.as_ref().map(|_| known.progress.version());
        let ctx = match (task.job, run.id()) {
            (Job::Build(_), Some(id)) => Context::new(task.message).with_step(id.clone(), 0),
            _ => Context::new(task.message),
        };
        ctx.with_attempt(known.progress.counted_attempts().max(1))
            .with_fence(fence)
            .with_log(Arc::clone(&run.shared.log))
    }
}

/// Returns the row of the attempt that a consumer had begun and did not report, if another is about to begin in its place.
fn lost_attempt(before: &Progress, task: &StepExecution<'_>, now: Timestamp) -> Option<Attempt> {
    let is_lost = before.is_started() && before.position() == task.step.position;
    is_lost.then(|| {
        let text = "the attempt ended without a report: its process may have died";
        let outcome = Outcome::from(&TaskError::new("Lost", text));
        let (position, entrypoint) = (task.step.position, task.step.entrypoint.clone());
        let number = before.counted_attempts();
        let mut attempt = Attempt::new(position, entrypoint, number, now, outcome);
        if let Some(lease) = before.lease() {
            attempt.worker = lease.owner.instance.to_string();
        }
        attempt
    })
}

/// The version in a message, which tells it from one that was published again.
pub(crate) fn seen(message: &Message) -> u64 {
    let envelope = message.metadata.envelope();
    envelope.map_or(0, |envelope| envelope.version)
}

/// Adds the attempts that nothing but the delivery counts.
fn counted(mut known: RunView, work: &DeliveryState) -> RunView {
    if work.tries.failed > 0 || work.crash_count > 0 {
        let counted = known.progress.clone();
        *known.progress = counted.with_counts(work.tries.failed, work.crash_count);
    }
    known
}

/// The step that a message of a run is.
pub(crate) fn step_of(message: &Message, envelope: &Envelope) -> PlannedStep {
    let key = step_key(message, envelope.step);
    PlannedStep::new(key, message.params.clone())
}

/// The step after the one that a message is, and those behind it, where they ride along.
pub(crate) fn next_step(envelope: &Envelope) -> Result<(Option<PlannedStep>, Option<Raw>), Error> {
    match &envelope.plan {
        Some(plan) => {
            let (next, rest) = carried::split(plan, &envelope.run, envelope.step + 1)?;
            Ok((Some(next), rest))
        }
        None => Ok((None, None)),
    }
}
