use std::fmt;
use std::pin::Pin;
use std::task::{Context as Poller, Poll};

use kser_core::{Context, Object, Outcome, TaskEntry, TaskError, catch_panic};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

/// The error of a layer, as those of `tower` speak of it.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An attempt at a task: the request that goes through the layers of a consumer.
#[derive(Debug)]
#[non_exhaustive]
pub struct TaskRequest {
    /// The task's handler.
    pub task: TaskEntry,
    /// The context that the handler gets.
    pub ctx: Context,
    /// The params of the task.
    pub params: Object,
}

/// The innermost service of a consumer: runs the handler of a [`TaskRequest`].
#[derive(Debug, Clone, Copy)]
struct RunHandler;

impl Service<TaskRequest> for RunHandler {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Outcome, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Poller<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TaskRequest) -> Self::Future {
        Box::pin(async move {
            let ran = request.task.run(&request.ctx, &request.params).await;
            ran.map_err(Into::into)
        })
    }
}

/// The service that a layer of a consumer wraps: the layers inside it, and the handler of the task.
///
/// Its response is the outcome of the attempt, its error the failure of the handler or of a layer. It is always ready unless a
/// layer inside it is not. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct TaskService(BoxCloneSyncService<TaskRequest, Outcome, BoxError>);

impl Service<TaskRequest> for TaskService {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Outcome, BoxError>> + Send>>;

    fn poll_ready(&mut self, poller: &mut Poller<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(poller)
    }

    fn call(&mut self, request: TaskRequest) -> Self::Future {
        self.0.call(request)
    }
}

/// The layers around the handlers of a consumer; none costs nothing.
#[derive(Clone, Default)]
pub(crate) struct Layers(Option<TaskService>);

impl Layers {
    pub(crate) fn add<L>(&mut self, layer: L)
    where
        L: Layer<TaskService>,
        L::Service: Service<TaskRequest, Response = Outcome> + Clone + Send + Sync + 'static,
        <L::Service as Service<TaskRequest>>::Error: Into<BoxError>,
        <L::Service as Service<TaskRequest>>::Future: Send + 'static,
    {
        let inner = self.0.take();
        let inner = inner.unwrap_or_else(|| TaskService(BoxCloneSyncService::new(RunHandler)));
        let outer = layer.layer(inner).map_err(Into::into);
        self.0 = Some(TaskService(BoxCloneSyncService::new(outer)));
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
        let request = TaskRequest {
            task: task.clone(),
            ctx: ctx.clone(),
            params: params.clone(),
        };
        let service = service.clone();
        // A layer may panic too.
        let ran = catch_panic(async {
            service
                .oneshot(request)
                .await
                .map_err(TaskError::from_boxed)
        });
        let outcome = Box::pin(ran).await?;
        Ok(outcome.with_uuid(ctx.uuid().clone()))
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Layers").field(&self.0.is_some()).finish()
    }
}
