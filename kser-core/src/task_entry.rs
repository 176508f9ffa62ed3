use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::task::{TaskExt, tell_failed};
use crate::{Context, Entrypoint, Name, Object, Outcome, RetryPolicy, Task, TaskError};

/// The default time limit of one attempt.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(3600);

type Telling<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome, TaskError>> + Send + 'a>>;

/// A [`Task`] of any type.
trait Erased: Send + Sync {
    fn execute<'a>(&'a self, ctx: &'a Context, params: &'a Object) -> Running<'a>;

    fn tell_failed<'a>(&'a self, ctx: &'a Context, error: &'a TaskError) -> Telling<'a>;
}

impl<T: Task> Erased for T {
    fn execute<'a>(&'a self, ctx: &'a Context, params: &'a Object) -> Running<'a> {
        Box::pin(self.unsafe_execute(ctx, params))
    }

    fn tell_failed<'a>(&'a self, ctx: &'a Context, error: &'a TaskError) -> Telling<'a> {
        Box::pin(tell_failed(self, ctx, error))
    }
}

/// A task with its retry policy and time limit, ready for the [`Registry`](crate::Registry).
#[derive(Clone)]
pub struct TaskEntry {
    entrypoint: Name,
    handler: Arc<dyn Erased>,
    retry: RetryPolicy,
    time_limit: Duration,
}

impl TaskEntry {
    /// Makes the entry of a task, with the default retry policy and time limit.
    pub fn new<T: Task>(task: T) -> Self {
        Self {
            entrypoint: T::Params::PATH.into(),
            handler: Arc::new(task),
            retry: RetryPolicy::default(),
            time_limit: TIME_LIMIT,
        }
    }

    /// Sets the retry policy for failed attempts. Defaults to [`RetryPolicy::default`].
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the time limit of one attempt. Defaults to one hour.
    #[must_use]
    pub const fn with_time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Returns the name of the task in messages.
    #[must_use]
    pub const fn entrypoint(&self) -> &Name {
        &self.entrypoint
    }

    /// Returns the retry policy.
    #[must_use]
    pub const fn retry(&self) -> &RetryPolicy {
        &self.retry
    }

    /// Returns the time limit of one attempt.
    #[must_use]
    pub const fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// Runs one attempt. A panic is an error. The caller stops the attempt by dropping the future.
    ///
    /// # Errors
    ///
    /// The error of a hook or of `run`.
    pub async fn run(&self, ctx: &Context, params: &Object) -> Result<Outcome, TaskError> {
        let outcome = self.handler.execute(ctx, params).await?;
        Ok(outcome.with_uuid(ctx.uuid().clone()))
    }

    /// Logs the failure of an attempt whose [`run`](Self::run) was dropped, and calls [`Task::on_error`].
    pub async fn tell_failed(&self, ctx: &Context, error: &TaskError) {
        self.handler.tell_failed(ctx, error).await;
    }
}

impl fmt::Debug for TaskEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskEntry")
            .field("entrypoint", &self.entrypoint)
            .field("retry", &self.retry)
            .field("time_limit", &self.time_limit)
            .finish_non_exhaustive()
    }
}
