use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use kser_core::{Clock, Error};

use super::mark::Mark;
use super::state::{Parked, Request, Shared, State, Verdict};
use crate::faults::{Fault, Kind};

/// The gate through which one life of a process calls the broker, the store and the services.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub(crate) shared: Shared,
    pub(crate) life: usize,
    pub(crate) name: Arc<str>,
}

impl Port {
    /// Begins a life.
    pub(crate) fn open(shared: &Shared, name: &str, consumer: Option<usize>) -> Self {
        Self {
            shared: shared.clone(),
            life: shared.with(|state| state.begin_life(name, consumer)),
            name: name.into(),
        }
    }

    /// Makes a call, when it is let through: `apply` is its effect.
    pub(crate) async fn call<T>(
        &self,
        kind: Kind,
        path: impl Into<Arc<str>>,
        apply: impl Future<Output = T>,
    ) -> Result<T, Error> {
        if !self.shared.is_driven() {
            return Ok(apply.await);
        }
        let path = path.into();
        match self.gate(Request::Call { kind, path }).await {
            Verdict::GoAndDie => {
                apply.await;
                self.die().await
            }
            Verdict::GoAndFail => {
                apply.await;
                Err(super::broken())
            }
            Verdict::Refuse => Err(super::broken()),
            Verdict::Hang => {
                tokio::time::sleep(Fault::HANG).await;
                Ok(apply.await)
            }
            Verdict::Panic => panic!("the simulation has this handler panic"),
            Verdict::Go | Verdict::Give { .. } | Verdict::Look => Ok(apply.await),
        }
    }

    /// Waits until a call is let through. A process that is dead waits for ever.
    pub(crate) fn gate(&self, request: Request) -> Gate<'_> {
        Gate {
            port: self,
            request: Some(request),
            number: 0,
        }
    }

    /// Has the process die, and never returns.
    pub(crate) async fn die<T>(&self) -> T {
        self.shared.with(|state| state.dying.push(self.life));
        self.shared.idle().touch();
        std::future::pending().await
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.shared.with(|state| state.is_alive(self.life))
    }

    pub(crate) fn is_client(&self) -> bool {
        let consumer = |state: &mut State| state.lives.get(self.life)?.consumer;
        self.shared.with(consumer).is_none()
    }

    pub(crate) fn note(&self, state: &mut State, mark: impl Into<Mark>, what: impl Into<String>) {
        state.note(&self.name, mark, what);
    }
}

/// Waits at the gate.
pub(crate) struct Gate<'a> {
    port: &'a Port,
    request: Option<Request>,
    number: u64,
}

impl Future for Gate<'_> {
    type Output = Verdict;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict> {
        let this = &mut *self;
        let (shared, life) = (&this.port.shared, this.port.life);
        if let Some(request) = this.request.take() {
            let now = shared.clock().now();
            let wakes_driver;
            (this.number, wakes_driver) = shared.with(|state| {
                let wakes_driver = state.wakes_driver(&request, now);
                state.parkings += 1;
                let parked = Parked {
                    life,
                    request,
                    verdict: None,
                    waker: cx.waker().clone(),
                    late: false,
                };
                state.parked.insert(state.parkings, parked);
                (state.parkings, wakes_driver)
            });
            if wakes_driver {
                shared.idle().touch();
            }
            return Poll::Pending;
        }
        shared.with(|state| {
            let Some(parked) = state.parked.get_mut(&this.number) else {
                return Poll::Pending;
            };
            match parked.verdict.take() {
                Some(verdict) => {
                    state.parked.remove(&this.number);
                    Poll::Ready(verdict)
                }
                None => {
                    parked.waker.clone_from(cx.waker());
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        let parked = self
            .port
            .shared
            .with(|state| state.parked.remove(&self.number));
        // Dropped without the lock: a waker may run anything.
        drop(parked);
    }
}
