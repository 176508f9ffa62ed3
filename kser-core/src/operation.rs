use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::handler::catch_panic;
use crate::sequencing::Plan;
use crate::task::read;
use crate::{Context, Entrypoint, Message, Name, Object, Status, Step, TaskError};

/// Builds the steps of one kind of operation, and is told how its runs go.
///
/// A plain `async fn(Params) -> Result<Vec<Step>, TaskError>` is one as well, see
/// [`IntoOperation`].
pub trait Operation: Send + Sync + 'static {
    /// What the operation is given; its [`PATH`](Entrypoint::PATH) names the operation.
    type Params: Entrypoint;

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

    /// Is called with a run that is built and not yet launched.
    fn finalize(&self, _operation: &Plan) -> impl Future<Output = Result<(), TaskError>> + Send {
        async { Ok(()) }
    }

    /// Is called after the status of a run has changed, in order, and again if it fails with a temporary error or
    /// its process dies.
    ///
    /// Changes are sent to the consumers that have the operation, as messages, because the step that causes one may
    /// run elsewhere.
    fn on_status(
        &self,
        _operation: &Plan,
        _from: Status,
        _to: Status,
    ) -> impl Future<Output = Result<(), TaskError>> + Send {
        async { Ok(()) }
    }
}

/// What every [`Operation`] can do.
pub trait OperationExt: Operation {
    /// Checks and builds: for an operation that is made of others.
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

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

trait Erased: Send + Sync {
    fn build<'a>(
        &'a self,
        ctx: &'a Context,
        params: &'a Object,
    ) -> Boxed<'a, Result<Vec<Step>, TaskError>>;
    fn finalize<'a>(&'a self, operation: &'a Plan) -> Boxed<'a, Result<(), TaskError>>;
    fn on_status<'a>(
        &'a self,
        operation: &'a Plan,
        from: Status,
        to: Status,
    ) -> Boxed<'a, Result<(), TaskError>>;
}

/// An operation, ready for the [`Registry`](crate::Registry).
#[derive(Clone)]
pub struct OperationEntry {
    entrypoint: Name,
    builder: Arc<dyn Erased>,
    hooks: bool,
}

impl OperationEntry {
    /// Returns what messages call it.
    #[must_use]
    pub const fn entrypoint(&self) -> &Name {
        &self.entrypoint
    }

    /// Builds the run that `message` asks for. Its id is the message's.
    ///
    /// # Errors
    ///
    /// What `prebuild`, `build_tasks` or `finalize` returned, or that a step has no JSON form.
    pub async fn build(&self, ctx: &Context, message: &Message) -> Result<Plan, TaskError> {
        let steps = catch_panic(self.builder.build(ctx, &message.params)).await?;
        let operation = Plan::of(
            message.uuid.clone().into(),
            message.entrypoint.clone(),
            steps,
        )?;
        catch_panic(self.builder.finalize(&operation)).await?;
        Ok(operation)
    }

    /// Tells the operation that a run's status has changed.
    ///
    /// # Errors
    ///
    /// What the hook returned.
    pub async fn on_status(
        &self,
        operation: &Plan,
        from: Status,
        to: Status,
    ) -> Result<(), TaskError> {
        catch_panic(self.builder.on_status(operation, from, to)).await
    }

    fn new<O: Operation>(operation: O, hooks: bool) -> Self {
        Self {
            entrypoint: O::Params::PATH.into(),
            builder: Arc::new(Builder(operation)),
            hooks,
        }
    }
}

impl fmt::Debug for OperationEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationEntry")
            .field("entrypoint", &self.entrypoint)
            .finish_non_exhaustive()
    }
}

struct Builder<O>(O);

impl<O: Operation> Erased for Builder<O> {
    fn build<'a>(
        &'a self,
        ctx: &'a Context,
        params: &'a Object,
    ) -> Boxed<'a, Result<Vec<Step>, TaskError>> {
        Box::pin(async move { self.0.compute_tasks(ctx, read(params)?).await })
    }

    fn finalize<'a>(&'a self, operation: &'a Plan) -> Boxed<'a, Result<(), TaskError>> {
        Box::pin(self.0.finalize(operation))
    }

    fn on_status<'a>(
        &'a self,
        operation: &'a Plan,
        from: Status,
        to: Status,
    ) -> Boxed<'a, Result<(), TaskError>> {
        Box::pin(self.0.on_status(operation, from, to))
    }
}

/// Whatever can be registered as an operation: an [`Operation`], or an `async fn(Params)` that returns steps.
///
/// `By` tells them apart and is never written.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an operation",
    label = "neither an `Operation` nor an `async fn(Params) -> Result<Vec<Step>, TaskError>`",
    note = "`Params` must implement `Entrypoint`, and the future must be `Send`"
)]
pub trait IntoOperation<By> {
    /// Makes the entry.
    fn into_operation(self) -> OperationEntry;
}

/// Marks an [`Operation`].
#[derive(Debug)]
pub struct ByOperation(());

impl<O: Operation> IntoOperation<ByOperation> for O {
    fn into_operation(self) -> OperationEntry {
        OperationEntry::new(self, true)
    }
}

struct Function<F, P>(F, std::marker::PhantomData<fn(P)>);

impl<F, P, Fut, E> Operation for Function<F, P>
where
    F: Fn(P) -> Fut + Send + Sync + 'static,
    P: Entrypoint,
    Fut: Future<Output = Result<Vec<Step>, E>> + Send + 'static,
    E: Into<TaskError>,
{
    type Params = P;

    async fn build_tasks(&self, _: &Context, params: P) -> Result<Vec<Step>, TaskError> {
        (self.0)(params).await.map_err(Into::into)
    }
}

impl<F, P, Fut, E> IntoOperation<fn(P) -> E> for F
where
    F: Fn(P) -> Fut + Send + Sync + 'static,
    P: Entrypoint,
    Fut: Future<Output = Result<Vec<Step>, E>> + Send + 'static,
    E: Into<TaskError>,
{
    fn into_operation(self) -> OperationEntry {
        OperationEntry::new(Function(self, std::marker::PhantomData), false)
    }
}
