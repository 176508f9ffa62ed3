use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A signal that wakes the poll thread. It is kept until the thread waits the next time.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    is_woken: Mutex<bool>,
    woken: Condvar,
}

impl Wakeup {
    pub(crate) fn wake(&self) {
        *self.lock() = true;
        self.woken.notify_one();
    }

    /// Waits for the signal, at most for `limit`. Returns at once if the signal was given since the last wait.
    pub(crate) fn wait(&self, limit: Duration) {
        let is_woken = self.lock();
        let waited = self
            .woken
            .wait_timeout_while(is_woken, limit, |is_woken| !*is_woken);
        let (mut is_woken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *is_woken = false;
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
