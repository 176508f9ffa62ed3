use std::fmt;
use std::pin::Pin;
use std::task::{Context as Poller, Poll};

use kser_core::{Context, Object, Outcome, TaskEntry, TaskError, catch_panic};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

/// The error of a layer, as those of `tower` speak of it.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An attempt at a task, as it goes through the layers of a consumer.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call {
    /// The task's handler.
    pub task: TaskEntry,
    /// The context that the handler gets.
    pub ctx: Context,
    /// The params of the task.
    pub params: Object,
}

/// Runs the handler of a [`Call`]: the innermost service of a consumer.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Handle;

impl Service<Call> for Handle {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Outcome, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Poller<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin(async move {
            let ran = call.task.run(&call.ctx, &call.params).await;
            ran.map_err(Into::into)
        })
    }
}

/// The service that a layer of a consumer wraps: the layers inside it, down to [`Handle`].
pub type Handler = BoxCloneSyncService<Call, Outcome, BoxError>;

/// The layers around the handlers of a consumer; none costs nothing.
#[derive(Clone, Default)]
pub(crate) struct Layers(Option<Handler>);

impl Layers {
    pub(crate) fn add<L>(&mut self, layer: L)
    where
        L: Layer<Handler>,
        L::Service: Service<Call, Response = Outcome> + Clone + Send + Sync + 'static,
        <L::Service as Service<Call>>::Error: Into<BoxError>,
        <L::Service as Service<Call>>::Future: Send + 'static,
    {
        let inner = self.0.take();
        let inner = inner.unwrap_or_else(|| Handler::new(Handle));
        let outer = layer.layer(inner).map_err(Into::into);
        self.0 = Some(Handler::new(outer));
    }

    /// Runs one attempt through the layers. An error of a layer is one of the attempt.
    pub(crate) async fn run(
        &self,
        task: &TaskEntry,
        ctx: &Context,
        params: &Object,
    ) -> Result<Outcome, TaskError> {
        let Some(service) = &self.0 else {
            return task.run(ctx, params).await;
        };
        let call = Call {
            task: task.clone(),
            ctx: ctx.clone(),
            params: params.clone(),
        };
        let service = service.clone();
        // A layer may panic too.
        let ran = catch_panic(async { service.oneshot(call).await.map_err(TaskError::from_boxed) });
        let outcome = Box::pin(ran).await?;
        Ok(outcome.with_uuid(ctx.uuid().clone()))
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layers").field(&self.0.is_some()).finish()
    }
}
