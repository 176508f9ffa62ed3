use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// Tells the driver when nothing else can run: tokio says so before it parks its thread, and then before it would move
/// the paused clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Idle(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Set while the driver waits.
    waker: Mutex<Option<Waker>>,
    /// The driver has something to look at. Without it, time goes on.
    dirty: AtomicBool,
    idle: AtomicBool,
}

impl Idle {
    /// Has the driver look at the state, once nothing else can run.
    pub(crate) fn touch(&self) {
        self.0.dirty.store(true, Ordering::Relaxed);
    }

    /// Has the driver look at the state, once nothing else can run from now on.
    pub(crate) fn touch_again(&self) {
        self.0.idle.store(false, Ordering::Relaxed);
        self.touch();
    }

    /// Is called before the thread parks.
    pub(crate) fn parking(&self) {
        if !self.0.dirty.swap(false, Ordering::Relaxed) {
            return;
        }
        self.0.idle.store(true, Ordering::Relaxed);
        let waker = self.waker().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until nothing else can run and something has happened, without a limit of time.
    pub(crate) async fn wait(&self) {
        std::future::poll_fn(|cx| {
            if self.0.idle.swap(false, Ordering::Relaxed) {
                return Poll::Ready(());
            }
            *self.waker() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
