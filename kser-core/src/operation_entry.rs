use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tracing::Level;

use crate::panic::catch_panic;
use crate::sequencing::Plan;
use crate::task::read;
use crate::task_entry::TIME_LIMIT;
use crate::{
    Context, Entrypoint, Message, Name, Operation, OperationExt, RetryPolicy, StatusChange,
    TaskError,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, TaskError>> + Send + 'a>>;

/// An [`Operation`] of any type.
trait Erased: Send + Sync {
    fn build<'a>(&'a self, ctx: &'a Context, message: &'a Message) -> Boxed<'a, Plan>;
    fn on_status<'a>(&'a self, change: &'a StatusChange) -> Boxed<'a, ()>;
}

impl<O: Operation> Erased for O {
    fn build<'a>(&'a self, ctx: &'a Context, message: &'a Message) -> Boxed<'a, Plan> {
        Box::pin(async move {
            if tracing::enabled!(target: "kser", Level::DEBUG) {
                let shown = ctx.shown(&message.params).unwrap_or_default();
                ctx.line(Level::DEBUG, "PreBuild", None, &shown);
            }
            let params = read(&message.params)?;
            let steps = self.compute_tasks(ctx, params).await?;
            ctx.line(
                Level::DEBUG,
                "BuildTasks",
                None,
                &format!("{} task(s) found", steps.len()),
            );
            let (run, name) = (message.uuid.clone().into(), message.entrypoint.clone());
            // The same steps are as wrong the next time.
            let plan = Plan::of(run, name, steps);
            let plan = plan.map_err(|error| TaskError::from(error).with_code(400))?;
            self.finalize(ctx, plan).await
        })
    }

    fn on_status<'a>(&'a self, change: &'a StatusChange) -> Boxed<'a, ()> {
        Box::pin(Operation::on_status(self, change))
    }
}

/// An operation and how it is to be built, ready for the [`Registry`](crate::Registry).
#[derive(Clone)]
pub struct OperationEntry {
    entrypoint: Name,
    operation: Arc<dyn Erased>,
    status_hook: bool,
    retry: RetryPolicy,
    time_limit: Duration,
}

impl OperationEntry {
    /// Makes the entry of an operation, with the default retry policy and time limit for the build.
    pub fn new<O: Operation>(operation: O) -> Self {
        Self {
            entrypoint: O::Params::PATH.into(),
            operation: Arc::new(operation),
            status_hook: O::STATUS_HOOK,
            retry: RetryPolicy::default(),
            time_limit: TIME_LIMIT,
        }
    }

    /// Returns what messages call it.
    #[must_use]
    pub const fn entrypoint(&self) -> &Name {
        &self.entrypoint
    }

    /// Says whether the operation wants to be told of changes of status.
    #[must_use]
    pub const fn has_status_hook(&self) -> bool {
        self.status_hook
    }

    /// Returns when a failed build is tried again.
    #[must_use]
    pub const fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// Returns how long one build may take.
    #[must_use]
    pub const fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// Builds the run that `message` asks for: its id is the message's. A panic is an error.
    ///
    /// # Errors
    ///
    /// What `prebuild`, `build_tasks` or `finalize` returned, or that a step cannot be sent.
    pub async fn build(&self, ctx: &Context, message: &Message) -> Result<Plan, TaskError> {
        catch_panic(self.operation.build(ctx, message)).await
    }

    /// Tells the operation that a run's status has changed. A panic is an error.
    ///
    /// # Errors
    ///
    /// What the hook returned.
    pub async fn on_status(&self, change: &StatusChange) -> Result<(), TaskError> {
        catch_panic(self.operation.on_status(change)).await
    }

    pub(crate) fn set_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    pub(crate) const fn set_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }
}

impl fmt::Debug for OperationEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationEntry")
            .field("entrypoint", &self.entrypoint)
            .field("status_hook", &self.status_hook)
            .finish_non_exhaustive()
    }
}
