use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use kser_core::Error;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use super::ConsumerHandle;
use super::options::LAST_CALL;

/// Returns the time after the shutdown timeout at which the process is ended: handlers notice their cancellation, are dropped,
/// and the groups are left, each within its limit.
pub(super) fn slack(leave_timeout: Duration) -> Duration {
    let handlers = LAST_CALL.saturating_mul(2);
    let more = Duration::from_secs(1);
    handlers.saturating_add(leave_timeout).saturating_add(more)
}

/// The time after the first signal from which on a signal is another request. A terminal and a parent process both send one.
const APART: Duration = Duration::from_secs(1);

/// The signal handlers that still listen after a signal has ended their consumer: without them, the process could not be
/// interrupted.
static PAST: Mutex<Vec<Handle>> = Mutex::new(Vec::new());

/// Listens to signals on a thread of its own, so that a handler that never yields cannot keep the process alive.
#[derive(Debug)]
pub(crate) struct Watch {
    signals: Handle,
    heard: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Watch {
    pub(crate) fn start(handle: ConsumerHandle, deadline: Duration) -> Result<Self, Error> {
        let signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| Error::Backend {
            backend: "signals",
            temporary: false,
            source: error.into(),
        })?;
        // From now on a signal is for this one.
        past().drain(..).for_each(|before| before.close());
        let watch = Self {
            signals: signals.handle(),
            heard: Arc::default(),
            ended: Arc::default(),
        };
        let (heard, ended) = (Arc::clone(&watch.heard), Arc::clone(&watch.ended));
        thread::spawn(move || listen(signals, &handle, deadline, &heard, &ended));
        Ok(watch)
    }

    /// The consumer has ended. With tasks left behind, the process still has to end in time.
    pub(crate) fn ended(self, graceful: bool) {
        if graceful {
            self.ended.store(true, Ordering::Release);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        match self.heard.load(Ordering::Acquire) {
            true => past().push(self.signals.clone()),
            false => self.signals.close(),
        }
    }
}

fn past() -> MutexGuard<'static, Vec<Handle>> {
    PAST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves the groups, on a runtime of its own: the one of the consumer may stand still.
fn leave_gracefully(handle: &ConsumerHandle) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(handle.leave_gracefully()),
        Err(error) => {
            tracing::error!(target: "kser", %error, "leaving the groups failed; unfinished records count as crashed deliveries");
        }
    }
}

fn listen(
    mut signals: Signals,
    handle: &ConsumerHandle,
    deadline: Duration,
    heard: &AtomicBool,
    ended: &Arc<AtomicBool>,
) {
    let mut coming = signals.forever();
    let Some(signal) = coming.next() else {
        return;
    };
    heard.store(true, Ordering::Release);
    tracing::info!(target: "kser", signal, "Consumer.Stopping...");
    handle.request_stop();
    let guard = (handle.clone(), Arc::clone(ended));
    thread::spawn(move || {
        let (handle, ended) = guard;
        thread::sleep(deadline.saturating_add(slack(handle.leave_timeout())));
        if !ended.load(Ordering::Acquire) {
            handle.name_left_behind();
            leave_gracefully(&handle);
            tracing::error!(target: "kser", "the process is ended: a handler, or a thread that it began, outlives the stop");
            std::process::exit(1);
        }
    });
    #[expect(clippy::disallowed_methods, reason = "signals come in real time")]
    let first = std::time::Instant::now();
    for signal in coming {
        if first.elapsed() >= APART {
            tracing::error!(target: "kser", signal, "a second signal: the process ends at once");
            std::process::exit(128 + signal);
        }
    }
}
