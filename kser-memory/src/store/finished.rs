use std::collections::{BTreeMap, HashMap};

use kser_core::{RunId, Status};

use super::run::Run;

/// The limits of the finished runs that are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) succeeded: usize,
    pub(super) failed: usize,
    pub(super) failed_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            succeeded: 10_000,
            failed: 100_000,
            failed_bytes: 256 << 20,
        }
    }
}

/// The finished runs, in the order in which they were finished, and the runs that handles watch.
#[derive(Debug, Default)]
pub(super) struct Finished {
    turns: u64,
    succeeded: BTreeMap<u64, RunId>,
    /// The runs that failed or were cancelled, with their bytes.
    failed: BTreeMap<u64, (RunId, usize)>,
    failed_bytes: usize,
    forgotten: u64,
    watched: HashMap<RunId, usize>,
}

impl Finished {
    /// Updates whether a run is finished and not watched: after its end, a repair, the relay of its last output, or the drop
    /// of its last handle.
    pub(super) fn note(&mut self, id: &RunId, run: &mut Run) {
        let is_kept = self.watched.contains_key(id);
        match (run.is_finished() && !is_kept, run.finished) {
            (true, None) => {
                self.turns += 1;
                run.finished = Some(self.turns);
                if run.progress.status() == Status::Success {
                    self.succeeded.insert(self.turns, id.clone());
                } else {
                    let bytes = run.bytes();
                    self.failed_bytes += bytes;
                    self.failed.insert(self.turns, (id.clone(), bytes));
                }
            }
            (false, Some(turn)) => {
                run.finished = None;
                self.remove(turn);
            }
            _ => {}
        }
    }

    /// Removes a run that was purged, or that goes on.
    pub(super) fn remove(&mut self, turn: u64) {
        self.succeeded.remove(&turn);
        if let Some((_, bytes)) = self.failed.remove(&turn) {
            self.failed_bytes -= bytes;
        }
    }

    /// Returns the next run to be removed, while there are too many.
    pub(super) fn beyond(&mut self, limits: Limits) -> Option<RunId> {
        if self.succeeded.len() > limits.succeeded {
            return self.succeeded.pop_first().map(|(_, id)| id);
        }
        let too_many = self.failed.len() > limits.failed;
        if !too_many && self.failed_bytes <= limits.failed_bytes {
            return None;
        }
        let (_, (id, bytes)) = self.failed.pop_first()?;
        self.failed_bytes -= bytes;
        self.forgotten += 1;
        Some(id)
    }

    /// Returns the number of failed and cancelled runs that were removed.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub(super) fn watch(&mut self, id: &RunId) {
        *self.watched.entry(id.clone()).or_default() += 1;
    }

    pub(super) fn unwatch(&mut self, id: &RunId) {
        if let Some(watchers) = self.watched.get_mut(id) {
            *watchers -= 1;
            if *watchers == 0 {
                self.watched.remove(id);
            }
        }
    }
}
