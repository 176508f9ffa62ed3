use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::places::Places;

/// The time that a suspected poison message waits until no other task runs. No other task starts meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// The time for which a suspected poison message is released if other tasks did not end: another consumer may be idle, or
/// this one by then.
pub(super) const GIVEN_BACK: Duration = Duration::from_secs(300);

/// The time for which no other task starts while a suspected poison message runs. A message that crashes its process later
/// than that also counts a crashed delivery for the tasks beside it.
pub(super) const EXCLUSIVE: Duration = Duration::from_secs(60);

/// Lets suspected poison messages run with nothing beside them, one at a time, within limits.
#[derive(Debug)]
pub(crate) struct Exclusive {
    turn: tokio::sync::Mutex<()>,
    /// Until when no suspect waits, because one has waited in vain.
    crowded_until: Mutex<Option<Instant>>,
}

impl Exclusive {
    pub(super) const fn new() -> Self {
        Self {
            turn: tokio::sync::Mutex::const_new(()),
            crowded_until: Mutex::new(None),
        }
    }

    /// Waits until nothing else runs, and takes all places. `None` when others run on for too long.
    pub(super) async fn enter(&self, places: &Places, all: u32) -> Option<OwnedSemaphorePermit> {
        let _turn = self.turn.lock().await;
        if self
            .crowded_until()
            .is_some_and(|until| until > Instant::now())
        {
            return None;
        }
        match timeout(PATIENCE, places.take(all)).await {
            Ok(entered) => entered,
            Err(_) => {
                *self.crowded_until() = Some(Instant::now() + GIVEN_BACK);
                None
            }
        }
    }

    fn crowded_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.crowded_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
