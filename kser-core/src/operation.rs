use std::marker::PhantomData;
use std::time::Duration;

use crate::sequencing::Plan;
use crate::{Context, Entrypoint, OperationEntry, RetryPolicy, StatusChange, Step, TaskError};

/// Builds the steps of one kind of operation, and may follow the status of its runs.
///
/// A plain `async fn(Params) -> Result<Vec<Step>, TaskError>` is an operation as well, see [`IntoOperation`]. The build
/// is step 0 of a run: it is retried, dead-lettered and repaired like a step. It may run more than once, so build the same
/// steps from the same params.
pub trait Operation: Send + Sync + 'static {
    /// The params of the operation; their [`PATH`](Entrypoint::PATH) is its name.
    type Params: Entrypoint;

    /// Whether [`on_status`](Self::on_status) is called. Changes are sent to the consumers that have the operation, as
    /// messages, because the step that causes one may run elsewhere; without this none are sent.
    const STATUS_HOOK: bool = false;

    /// Returns the steps, in order.
    fn build_tasks(
        &self,
        ctx: &Context,
        params: Self::Params,
    ) -> impl Future<Output = Result<Vec<Step>, TaskError>> + Send;

    /// Checks whether the operation may be built at all.
    fn prebuild(
        &self,
        _ctx: &Context,
        _params: &Self::Params,
    ) -> impl Future<Output = Result<(), TaskError>> + Send {
        async { Ok(()) }
    }

    /// Is called with the plan once it is built, and may add to it.
    fn finalize(
        &self,
        _ctx: &Context,
        plan: Plan,
    ) -> impl Future<Output = Result<Plan, TaskError>> + Send {
        async { Ok(plan) }
    }

    /// Is called after the status of a run has changed, if [`STATUS_HOOK`](Self::STATUS_HOOK) says so; and again if it
    /// fails with a temporary error or its process dies.
    fn on_status(
        &self,
        _change: &StatusChange,
    ) -> impl Future<Output = Result<(), TaskError>> + Send {
        async { Ok(()) }
    }
}

/// Methods of every [`Operation`].
pub trait OperationExt: Operation {
    /// Runs `prebuild` and `build_tasks`, for an operation that is composed of others.
    ///
    /// # Errors
    ///
    /// The error of `prebuild` or `build_tasks`.
    fn compute_tasks(
        &self,
        ctx: &Context,
        params: Self::Params,
    ) -> impl Future<Output = Result<Vec<Step>, TaskError>> + Send {
        async move {
            self.prebuild(ctx, &params).await?;
            self.build_tasks(ctx, params).await
        }
    }
}

impl<T: Operation + ?Sized> OperationExt for T {}

/// A type that can be registered as an operation: an [`Operation`], or an `async fn` of the params that returns steps. The
/// function may take the [`Context`] in front of the params.
///
/// ```
/// # use kser_core::{Entrypoint, Registry, Step, TaskError};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Clone, Serialize, Deserialize)] struct DiceRoll { sides: u8 }
/// impl Entrypoint for DiceRoll { const PATH: &'static str = "dice.DiceRoll"; }
/// #[derive(Serialize, Deserialize)] struct DiceLaunch { rolls: usize }
/// impl Entrypoint for DiceLaunch { const PATH: &'static str = "dice.DiceLaunch"; }
///
/// async fn launch(game: DiceLaunch) -> Result<Vec<Step>, TaskError> {
///     Ok(vec![Step::new(DiceRoll { sides: 6 }); game.rolls])
/// }
///
/// let registry = Registry::new().operation(launch).build()?;
/// # Ok::<(), kser_core::Error>(())
/// ```
///
/// `By` tells the forms apart and is never written.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an operation",
    label = "neither an `Operation` nor an `async fn([Context,] Params) -> Result<Vec<Step>, TaskError>`",
    note = "`Params` must implement `Entrypoint`, and the future must be `Send`"
)]
pub trait IntoOperation<By>: Sized {
    /// Makes the entry.
    fn into_operation(self) -> OperationEntry;

    /// Sets the retry policy for failed builds. Defaults to [`RetryPolicy::default`].
    fn with_build_retry(self, retry: RetryPolicy) -> OperationEntry {
        self.into_operation().set_retry(retry)
    }

    /// Sets the time limit of one build. Defaults to one hour.
    fn with_build_limit(self, limit: Duration) -> OperationEntry {
        self.into_operation().set_time_limit(limit)
    }
}

impl IntoOperation<()> for OperationEntry {
    fn into_operation(self) -> OperationEntry {
        self
    }
}

/// A marker for values that implement [`Operation`].
#[derive(Debug)]
pub struct ByOperation(());

impl<O: Operation> IntoOperation<ByOperation> for O {
    fn into_operation(self) -> OperationEntry {
        OperationEntry::new(self)
    }
}

/// A function as an [`Operation`].
struct Function<F, P>(F, PhantomData<fn(P)>);

impl<F, P, Fut, E> Operation for Function<F, P>
where
    F: Fn(Context, P) -> Fut + Send + Sync + 'static,
    P: Entrypoint,
    Fut: Future<Output = Result<Vec<Step>, E>> + Send + 'static,
    E: Into<TaskError>,
{
    type Params = P;

    async fn build_tasks(&self, ctx: &Context, params: P) -> Result<Vec<Step>, TaskError> {
        (self.0)(ctx.clone(), params).await.map_err(Into::into)
    }
}

impl<F, P, Fut, E> IntoOperation<fn(P) -> E> for F
where
    F: Fn(P) -> Fut + Send + Sync + 'static,
    P: Entrypoint,
    Fut: Future<Output = Result<Vec<Step>, E>> + Send + 'static,
    E: Into<TaskError> + 'static,
{
    fn into_operation(self) -> OperationEntry {
        let call = move |_: Context, params: P| self(params);
        OperationEntry::new(Function(call, PhantomData))
    }
}

impl<F, P, Fut, E> IntoOperation<fn(Context, P) -> E> for F
where
    F: Fn(Context, P) -> Fut + Send + Sync + 'static,
    P: Entrypoint,
    Fut: Future<Output = Result<Vec<Step>, E>> + Send + 'static,
    E: Into<TaskError> + 'static,
{
    fn into_operation(self) -> OperationEntry {
        OperationEntry::new(Function(self, PhantomData))
    }
}
