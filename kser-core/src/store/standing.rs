use std::time::Duration;

use crate::sequencing::{PlannedStep, Progress};
use crate::{Name, Status, Timestamp};

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

/// The time for which a store knows at least that a run was purged. It is longer than topics keep records by default, so
/// that a late record of the run is told from a record of a run that the store never had.
pub const TOMBSTONE_KEPT: Duration = Duration::from_secs(14 * 24 * 3600);

/// The rest of a run that was purged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tombstone {
    /// The operation's entrypoint.
    pub name: Name,
    /// The digest of the content, see [`NewRun::digest`](super::NewRun::digest).
    pub digest: String,
    /// The status at the end.
    pub status: Status,
    /// The time of the purge.
    pub purged: Timestamp,
}

impl Tombstone {
    /// Makes the rest of a run from its parts.
    #[must_use]
    pub const fn new(name: Name, digest: String, status: Status, purged: Timestamp) -> Self {
        Self {
            name,
            digest,
            status,
            purged,
        }
    }
}

/// The state that a store has of an id.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Found {
    /// The store has the run.
    Stands(Box<Standing>),
    /// The run was purged, not so long ago that it is forgotten.
    Purged(Box<Tombstone>),
    /// The store has no such run.
    Unknown,
}

impl Found {
    /// Returns the progress of the run, if the store has it.
    #[must_use]
    pub const fn progress(&self) -> Option<&Progress> {
        match self {
            Self::Stands(standing) => Some(&standing.progress),
            Self::Purged(_) | Self::Unknown => None,
        }
    }

    /// Takes the progress of the run, if the store has it.
    #[must_use]
    pub fn into_progress(self) -> Option<Progress> {
        match self {
            Self::Stands(standing) => Some(standing.progress),
            Self::Purged(_) | Self::Unknown => None,
        }
    }
}
