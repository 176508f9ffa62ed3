use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tracing::Level;

use crate::panic::catch_panic;
use crate::params::read;
use crate::sequencing::Plan;
use crate::task_entry::TIME_LIMIT;
use crate::{
    Context, Entrypoint, Error, Message, Name, Operation, OperationExt, RetryPolicy, RunId,
    StatusChange, TaskError,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, TaskError>> + Send + 'a>>;

/// An [`Operation`] of any type.
trait Erased: Send + Sync {
    fn build<'a>(&'a self, ctx: &'a Context, message: &'a Message, most: u32) -> Boxed<'a, Plan>;
    fn on_status<'a>(&'a self, change: &'a StatusChange) -> Boxed<'a, ()>;
}

impl<O: Operation> Erased for O {
    fn build<'a>(&'a self, ctx: &'a Context, message: &'a Message, most: u32) -> Boxed<'a, Plan> {
        Box::pin(async move {
            ctx.trace("PreBuild", Some(&message.params));
            let params = read(&message.params)?;
            let steps = self.compute_tasks(ctx, params).await?;
            let found = format!("{} task(s) found", steps.len());
            ctx.line(Level::DEBUG, "BuildTasks", None, Some(&found));
            must_be_few(steps.len(), most)?;
            let run = RunId::from(message.uuid.clone());
            // The same steps are as wrong the next time.
            let plan = Plan::of(run.clone(), message.entrypoint.clone(), steps);
            let plan = plan.map_err(|error| TaskError::from(error).with_code(400))?;
            let plan = self.finalize(ctx, plan).await?;
            if (plan.run(), plan.name()) != (&run, &message.entrypoint) {
                let text = format!("finalize returned the plan of operation {}", plan.run());
                return Err(TaskError::configuration(text));
            }
            must_be_few(plan.steps().len(), most)?;
            Ok(plan)
        })
    }

    fn on_status<'a>(&'a self, change: &'a StatusChange) -> Boxed<'a, ()> {
        // Within the future, because the call may panic before it returns one.
        Box::pin(async move { Operation::on_status(self, change).await })
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

    /// Returns the name of the operation in messages.
    #[must_use]
    pub const fn entrypoint(&self) -> &Name {
        &self.entrypoint
    }

    /// Says whether the operation has a status hook, which is called for each change of status.
    #[must_use]
    pub const fn has_status_hook(&self) -> bool {
        self.status_hook
    }

    /// Returns the retry policy for failed builds.
    #[must_use]
    pub const fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// Returns the time limit of one build.
    #[must_use]
    pub const fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// Builds the run that `message` asks for: its id is the message's. A panic is an error.
    ///
    /// # Errors
    ///
    /// The error of `prebuild`, `build_tasks` or `finalize`, or code 400 when a step cannot be sent.
    pub async fn build(&self, ctx: &Context, message: &Message) -> Result<Plan, TaskError> {
        self.build_at_most(ctx, message, u32::MAX).await
    }

    /// Builds the run that `message` asks for, as [`build`](Self::build) does, of at most `most` steps.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build); `TooLarge`, code 413, for more steps, which are counted before a plan is made of them.
    pub async fn build_at_most(
        &self,
        ctx: &Context,
        message: &Message,
        most: u32,
    ) -> Result<Plan, TaskError> {
        catch_panic(self.operation.build(ctx, message, most)).await
    }

    /// Calls the status hook of the operation for a change of status. A panic is an error.
    ///
    /// # Errors
    ///
    /// The error of the hook.
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

/// Refuses more steps than an operation may have.
fn must_be_few(count: usize, most: u32) -> Result<(), TaskError> {
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    if count <= limit {
        return Ok(());
    }
    let error = Error::TooLarge {
        what: "number of steps of the operation".into(),
        size: count,
        limit,
    };
    let error = TaskError::new("TooLarge", error.to_string());
    Err(error.with_code(413).into_permanent())
}

impl fmt::Debug for OperationEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationEntry")
            .field("entrypoint", &self.entrypoint)
            .field("status_hook", &self.status_hook)
            .finish_non_exhaustive()
    }
}
