use std::sync::Arc;
use std::time::Duration;

use kser_core::sequencing::{Event, StepKey};
use kser_core::{Error, Leave};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::active::ActiveSet;
use super::options::LEAVE_TIMEOUT;
use crate::engine::run_ref::RunRef;
use crate::engine::stored::Stored;
use crate::shared::Shared;

/// An attempt at a step of a stored run that runs at this moment.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(super) run: RunRef,
    pub(super) step: StepKey,
    pub(super) attempt: u32,
}

/// A graceful leave of the groups of a consumer whose handlers do not end, from any thread. Without it, their records count
/// a crashed delivery at each deploy, and after three of them are poison messages.
#[derive(Debug)]
pub(super) struct GracefulLeave {
    shared: Arc<Shared>,
    attempts: ActiveSet<Running>,
    leavers: Vec<Arc<dyn Leave>>,
}

impl GracefulLeave {
    pub(super) const fn new(
        shared: Arc<Shared>,
        attempts: ActiveSet<Running>,
        leavers: Vec<Arc<dyn Leave>>,
    ) -> Self {
        Self {
            shared,
            attempts,
            leavers,
        }
    }

    /// Gives back the attempts of stored runs, and leaves all groups at once, each within `limit`.
    pub(super) async fn leave(&self, limit: Duration) {
        if timeout(LEAVE_TIMEOUT, self.give_back()).await.is_err() {
            tracing::warn!(target: "kser", "giving attempts back failed: the store does not answer; they count as crashes");
        }
        let mut leaving = JoinSet::new();
        for leaver in &self.leavers {
            let leaver = Arc::clone(leaver);
            leaving.spawn(async move { timeout(limit, leaver.leave()).await });
        }
        while let Some(left) = leaving.join_next().await {
            let error = match left {
                Ok(Ok(Ok(()))) => continue,
                Ok(Ok(Err(error))) => kser_core::log::report(&error),
                Ok(Err(_)) => format!("it takes longer than {limit:?}"),
                Err(error) => error.to_string(),
            };
            tracing::warn!(target: "kser", error, "leaving a group failed; unfinished records count as crashed deliveries");
        }
    }

    async fn give_back(&self) {
        let shared = &self.shared;
        let Some(store) = &shared.store else {
            return;
        };
        let stored = Stored { shared, store };
        for Running { run, step, attempt } in self.attempts.list() {
            let interrupted = |_: &_| Event::Interrupted {
                step: step.clone(),
                attempt,
            };
            match stored.apply(&run, interrupted).await {
                Ok(_) | Err(Error::Rejected { .. }) => {}
                Err(error) => {
                    tracing::warn!(target: "kser", run = ?run.id, error = kser_core::log::report(&error), "giving an attempt back failed; it counts as a crash");
                }
            }
        }
    }
}
