use serde::Serialize;

use crate::ops::brake::Ends;
use crate::ops::letter_plan::{LeftLetter, REASONS};
use crate::ops::run_plan::LeftRun;

/// The result of an act on letters or runs, also while it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ActReport<L> {
    /// The number of letters that are replayed, discarded or renewed, or of runs on which the act has been.
    pub done: u64,
    /// The ends of the runs that go on by the act; none are followed after a cancellation and a purge.
    #[serde(flatten)]
    pub ends: Ends,
    /// The number of letters or runs that are left, since the rules refuse them or another session has them.
    pub refused: u64,
    /// Those that are left, with the reasons, at most a thousand.
    pub left: Vec<L>,
    /// The number of letters or runs that were not tried.
    pub not_tried: u64,
    /// The reason why the act stopped before its end.
    pub stopped: Option<String>,
}

/// A letter or a run that an act leaves.
pub trait LeftBehind {
    /// Returns the place of the letter, or the id of the run.
    fn subject(&self) -> String;

    /// Returns the reason.
    fn reason(&self) -> &str;
}

impl<L> ActReport<L> {
    /// Says whether the whole plan is done.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.refused == 0 && self.not_tried == 0
    }

    /// Counts one that is left.
    pub(crate) fn leave(&mut self, left: L) {
        self.refused += 1;
        if self.left.len() < REASONS {
            self.left.push(left);
        }
    }
}

impl<L> Default for ActReport<L> {
    fn default() -> Self {
        Self {
            done: 0,
            ends: Ends::default(),
            refused: 0,
            left: Vec::new(),
            not_tried: 0,
            stopped: None,
        }
    }
}

impl LeftBehind for LeftLetter {
    fn subject(&self) -> String {
        self.address.to_string()
    }

    fn reason(&self) -> &str {
        &self.reason
    }
}

impl LeftBehind for LeftRun {
    fn subject(&self) -> String {
        self.run.to_string()
    }

    fn reason(&self) -> &str {
        &self.reason
    }
}
