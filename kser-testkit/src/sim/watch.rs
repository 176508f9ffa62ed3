use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use kser::layer::{TaskRequest, TaskService};
use kser_core::{Outcome, RunId, TaskId};
use tower::{Layer, Service};

use super::mark::Act;
use super::port::Port;
use super::sites::Arrival;
use crate::faults::{Fault, Kind};
use crate::invariants;

tokio::task_local! {
    /// The attempt that runs here.
    static ATTEMPT: Attempt;
}

/// An attempt at a task, as its effects see it.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) port: Port,
    pub(crate) task: TaskId,
    /// The run that it is a step of; its own id for a lone one.
    pub(crate) run: RunId,
    /// The label of the task.
    pub(crate) label: Arc<str>,
}

impl Attempt {
    /// Returns the attempt of which this is called, if it is.
    pub(crate) fn current() -> Option<Self> {
        ATTEMPT.try_with(Clone::clone).ok()
    }
}

/// Watches the handlers of a consumer: each wait of theirs is a site.
#[derive(Debug, Clone)]
pub(crate) struct Watch(pub(crate) Port);

#[derive(Debug, Clone)]
pub(crate) struct Watched<S> {
    inner: S,
    port: Port,
}

impl Layer<TaskService> for Watch {
    type Service = Watched<TaskService>;

    fn layer(&self, inner: TaskService) -> Watched<TaskService> {
        let port = self.0.clone();
        Watched { inner, port }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Attempted = Pin<Box<dyn Future<Output = Result<Outcome, BoxError>> + Send>>;

impl Service<TaskRequest> for Watched<TaskService> {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Attempted;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: TaskRequest) -> Attempted {
        let (port, ctx) = (self.port.clone(), request.ctx.clone());
        let (label, number) = port.shared.timed(|state| {
            let label = match (ctx.run(), ctx.step()) {
                (Some(run), Some(step)) => state.labels.step(run, step),
                _ => state.labels.task(ctx.uuid(), ctx.entrypoint()),
            };
            let label: Arc<str> = label.into();
            let mark = Act::Begin.of(Arc::clone(&label));
            port.note(
                state,
                mark,
                format!("runs {label}, attempt {}", ctx.attempt()),
            );
            state.heartbeat.begin(&label);
            state.lives[port.life].running += 1;
            let (facts, view) = state.observe();
            let number = invariants::observe_start(facts, view, port.life, &label, &request);
            invariants::check_running(facts, view, port.life);
            (label, number)
        });
        let runs = Runs(port.clone());
        let attempt = Attempt {
            port: port.clone(),
            task: ctx.uuid().clone(),
            run: ctx
                .run()
                .cloned()
                .unwrap_or_else(|| ctx.uuid().clone().into()),
            label: Arc::clone(&label),
        };
        let handler = Waits {
            handler: self.inner.call(request),
            path: format!("{label}/await").into(),
            port: port.clone(),
        };
        Box::pin(ATTEMPT.scope(attempt, async move {
            let ended = handler.await;
            drop(runs);
            port.shared.timed(|state| {
                let how = match &ended {
                    Ok(outcome) if outcome.is_success() => "succeeds".to_owned(),
                    Ok(outcome) => format!("fails: {}", outcome.shown()),
                    Err(error) => format!("fails: {error}"),
                };
                let succeeded = ended.as_ref().is_ok_and(Outcome::is_success);
                let mark = Act::Return { succeeded }.of(Arc::clone(&label));
                port.note(state, mark, format!("{label} {how}"));
                let failed = ended.as_ref().err().map(|error| error.to_string());
                let (facts, view) = state.observe();
                let outcome = ended.as_ref().ok();
                invariants::observe_end(facts, view, number, outcome, failed.as_deref());
            });
            ended
        }))
    }
}

/// A handler that runs, until it has returned or is dropped.
struct Runs(Port);

impl Drop for Runs {
    fn drop(&mut self) {
        let Self(port) = self;
        port.shared
            .with(|state| state.lives[port.life].running -= 1);
    }
}

/// Counts the waits of a handler.
struct Waits {
    handler: Attempted,
    path: Arc<str>,
    port: Port,
}

impl Future for Waits {
    type Output = Result<Outcome, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let before = self.port.shared.with(|state| {
            state.sites.part();
            state.parkings
        });
        let polled = self.handler.as_mut().poll(cx);
        if polled.is_pending() {
            self.waited(before);
        }
        polled
    }
}

impl Waits {
    /// Notes that the handler waits for something outside of the simulation, and injects the fault of that site.
    fn waited(&self, parkings: u64) {
        let (port, path) = (&self.port, &self.path);
        let fault = port.shared.timed(|state| {
            if state.parkings != parkings || !state.is_alive(port.life) {
                return None;
            }
            let arrival = Arrival {
                kind: Kind::Await,
                life: port.life,
                consumer: true,
                now: state.now,
            };
            let (site, fault) = state.sites.reach(path, arrival);
            if let Some(fault) = fault {
                state.goes_wrong(&port.name, fault, Kind::Await, &site);
            }
            if fault == Some(Fault::CrashBefore) {
                state.dying.push(port.life);
            }
            fault
        });
        match fault {
            Some(Fault::Panic) => panic!("the simulation has this handler panic"),
            Some(_) => port.shared.idle().touch(),
            None => {}
        }
    }
}
