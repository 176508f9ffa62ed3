use crate::sequencing::{PlannedStep, Progress};

/// The state of a run as the rules need it: its progress, and the steps of its plan near it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Standing {
    /// The progress.
    pub progress: Progress,
    /// The step at the position of the progress; `None` where the plan has none.
    pub here: Option<PlannedStep>,
    /// The step after it; `None` where the plan has none.
    pub next: Option<PlannedStep>,
}

impl Standing {
    /// Makes the state of a run from its parts.
    #[must_use]
    pub const fn new(
        progress: Progress,
        here: Option<PlannedStep>,
        next: Option<PlannedStep>,
    ) -> Self {
        Self {
            progress,
            here,
            next,
        }
    }
}

/// The state that a store has of an id.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Found {
    /// The store has the run.
    Stands(Box<Standing>),
    /// The store has no such run.
    Unknown,
}

impl Found {
    /// Returns the progress of the run, if the store has it.
    #[must_use]
    pub const fn progress(&self) -> Option<&Progress> {
        match self {
            Self::Stands(standing) => Some(&standing.progress),
            Self::Unknown => None,
        }
    }

    /// Takes the progress of the run, if the store has it.
    #[must_use]
    pub fn into_progress(self) -> Option<Progress> {
        match self {
            Self::Stands(standing) => Some(standing.progress),
            Self::Unknown => None,
        }
    }
}
