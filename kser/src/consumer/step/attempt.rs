use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use kser_core::sequencing::Event;
use kser_core::{AwaitRun, Context, Error, Outcome, Plan, TaskError, Timestamp};
use tracing::{Instrument, Span};

use super::attempt_span;
use super::execution::StepExecution;
use super::handler::{self, Bounds, Ended};
use super::job::Job;
use super::lease::Lease;
use super::run_waits::RunWaits;
use super::start::StartedStep;
use crate::consumer::active::RunningAttempt;
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::state::DeliveryState;
use crate::consumer::graceful_leave::Running;
use crate::engine::run_view::RunView;
use crate::observer::{AttemptResult, Observation};

/// The result of a handler that did not fail with an error.
#[derive(Debug)]
pub(super) enum Product {
    Outcome(Outcome),
    Plan(Plan),
}

/// The numbers of an attempt.
#[derive(Debug)]
pub(super) struct Attempted {
    /// The number that fences the attempt.
    pub(super) attempt: u32,
    /// The number of the attempt for the retry policy.
    pub(super) counted: u32,
    /// When an attempt at the step failed first, as far as its run knows.
    pub(super) first_failed: Option<Timestamp>,
    pub(super) began: Timestamp,
}

impl Attempted {
    /// Returns the number of the attempt as handlers, spans and log lines have it, from 1 on.
    pub(super) fn number(&self) -> u32 {
        self.counted.max(1)
    }
}

/// A step whose attempt has ended, and the result of its handler.
pub(super) struct EndedAttempt<'p> {
    pub(super) step: Box<StepExecution<'p>>,
    /// Where the run stands, as far as the lease of the attempt has seen it.
    pub(super) view: RunView,
    pub(super) attempted: Attempted,
    pub(super) ctx: Context,
    pub(super) returned: Result<Product, TaskError>,
}

impl<'p> EndedAttempt<'p> {
    /// Runs the handler of a step.
    pub(super) async fn run(
        started: StartedStep<'p>,
        state: &mut DeliveryState<'p>,
    ) -> Result<ControlFlow<Disposition, Self>, Error> {
        let StartedStep {
            mut step,
            view,
            waited,
            was_due,
        } = started;
        let began = step.scope.now();
        let (attempt, counted) = (view.progress.attempts(), view.progress.counted_attempts());
        let waits = Arc::new(RunWaits::new(
            Arc::clone(&step.processor.shared),
            step.processor.places_for(&step.message.entrypoint),
            Arc::clone(&step.processor.parked),
            state.tracked.record.size(),
        ));
        let runs: Arc<dyn AwaitRun> = Arc::<RunWaits>::clone(&waits);
        state.waits = Some(waits);
        let ctx = context(&step, &view).with_runs(runs);
        let first_failed = view.progress.first_failed();
        let first_failed = first_failed.or(state.tracked.attempts.first);
        let failing = first_failed.map_or(Duration::ZERO, |first| began.since(first));
        let (span, ctx) = enter_trace(&mut step, state, ctx, waited.max(failing));
        // The wait of a delivery is that of its first attempt alone.
        let wait = state.take_wait();
        step.waited = was_due.or(wait);
        let entrypoint = &step.message.entrypoint;
        let started = Observation::AttemptStarted { entrypoint };
        step.processor.observe(&started);
        let (ended, view) = bounded(state, &step, &ctx, span, view, began).await;
        let attempted = Attempted {
            attempt,
            counted,
            first_failed: view.progress.first_failed(),
            began,
        };
        let returned = match ended {
            Ended::Returned(returned) => returned,
            Ended::Overdue(error) => Err(error),
            Ended::Interrupted => {
                // The consumer stops before the handler has ended: the attempt does not count.
                step.observe_end(began, AttemptResult::Released);
                let event = Event::Interrupted {
                    step: step.key.clone(),
                    attempt: attempted.attempt,
                };
                Box::pin(step.scope.give_back(view, event)).await?;
                return Ok(ControlFlow::Break(Disposition::Release));
            }
            Ended::Lost => {
                step.observe_end(began, AttemptResult::Dropped);
                tracing::warn!(target: "kser", uuid = ?step.message.uuid, "another consumer has the step; the outcome of this attempt is dropped");
                return Ok(ControlFlow::Break(Disposition::ack()));
            }
        };
        Ok(ControlFlow::Continue(Self {
            step,
            view,
            attempted,
            ctx,
            returned,
        }))
    }
}

/// Makes the span of the attempt. What the run and the handler send carries its context.
fn enter_trace(
    step: &mut StepExecution<'_>,
    state: &mut DeliveryState<'_>,
    ctx: Context,
    waited: Duration,
) -> (Span, Context) {
    let Some(tracer) = step.processor.shared.tracer() else {
        return (attempt_span::plain(step, &ctx), ctx);
    };
    let (span, context) = attempt_span::traced(tracer, step, state, &ctx, waited);
    let Some(context) = context else {
        return (span, ctx);
    };
    step.scope.follow_trace(&context);
    state.trace = tracer.traces_settles().then(|| context.clone());
    (span, ctx.with_traceparent(&context))
}

/// Runs the handler within its bounds, and keeps the lease.
async fn bounded(
    state: &DeliveryState<'_>,
    step: &StepExecution<'_>,
    ctx: &Context,
    span: Span,
    view: RunView,
    began: Timestamp,
) -> (Ended<Product>, RunView) {
    let processor = step.processor;
    let _running = processor.running.insert(RunningAttempt {
        ctx: ctx.clone(),
        run: step.scope.id().cloned(),
        since: began,
    });
    let leased = step.scope.leased_run();
    let _attempt = leased.map(|run| {
        processor.attempts.insert(Running {
            run: run.without_metadata(),
            step: step.key.clone(),
            attempt: view.progress.attempts(),
        })
    });
    let mut lease = match leased {
        Some(run) => processor.leases.take(run, &step.key, view.clone()),
        None => Lease::none(&processor.leases),
    };
    let bounds = Bounds {
        told: ctx.cancellation(),
        revoked: &state.revoked,
        cancel: &processor.cancel,
        kill: &processor.kill,
        limit: step.job.time_limit(),
    };
    let handler = run_handler(step, ctx).instrument(span.clone());
    let ended = match handler::run(handler, bounds, &mut lease).await {
        Ended::Overdue(error) => {
            step.job.tell_failed(ctx, &error).await;
            Ended::Returned(Err(error))
        }
        ended => ended,
    };
    if let Ended::Returned(Err(error)) = &ended {
        attempt_span::note_error(&span, error);
    }
    (ended, lease.into_view().unwrap_or(view))
}

async fn run_handler(step: &StepExecution<'_>, ctx: &Context) -> Result<Product, TaskError> {
    let (processor, message) = (step.processor, &*step.message);
    match step.job {
        Job::Task(entry) => {
            let ran = processor.layers.run(entry, ctx, &message.params).await;
            ran.map(Product::Outcome)
        }
        Job::Build(entry) => {
            let most = processor.shared.writer.limits.steps;
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

fn context(step: &StepExecution<'_>, view: &RunView) -> Context {
    let scope = &step.scope;
    let ctx = match (step.job, scope.id()) {
        (Job::Build(_), Some(id)) => Context::new(&step.message).with_step(id.clone(), 0),
        _ => Context::new(&step.message),
    };
    ctx.with_attempt(view.progress.counted_attempts().max(1))
        .with_fence(scope.fence(view))
        .with_log(Arc::clone(&scope.shared().log))
        .with_end_at_debug()
}
