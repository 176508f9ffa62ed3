use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// The queue of calls that wait to hand their records to the client, in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    waiting: AtomicUsize,
    turn: Mutex<()>,
}

/// The turn of a call, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _turn: MutexGuard<'a, ()>,
    // Dropped last: until then other calls wait for their turn.
    _waiting: WaitingCall<'a>,
}

#[derive(Debug)]
struct WaitingCall<'a>(&'a AtomicUsize);

impl Drop for WaitingCall<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Turns {
    /// Says whether no call has a turn or waits for one. Then records may be handed over without a turn.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Waits for the turn of a call, after all calls that came before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue.
    pub(crate) async fn next(&self) -> Turn<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = WaitingCall(&self.waiting);
        Turn {
            _turn: self.turn.lock().await,
            _waiting: waiting,
        }
    }
}
