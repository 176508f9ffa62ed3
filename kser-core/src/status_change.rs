use serde::{Deserialize, Serialize};

use crate::{Name, Outcome, RunId, Status};

/// What the owner of an operation is told when the status of a run has changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatusChange {
    /// The run.
    pub run: RunId,
    /// The operation's entrypoint.
    pub name: Name,
    /// What the status was.
    pub from: Status,
    /// What it is.
    pub to: Status,
    /// The version of the run's progress, which grows with every change.
    pub version: u64,
    /// The final outcome, at an end.
    pub outcome: Option<Outcome>,
}

impl StatusChange {
    /// Makes one from its parts.
    #[must_use]
    pub const fn new(
        run: RunId,
        name: Name,
        from: Status,
        to: Status,
        version: u64,
        outcome: Option<Outcome>,
    ) -> Self {
        Self {
            run,
            name,
            from,
            to,
            version,
            outcome,
        }
    }
}

impl Name {
    /// Returns the name under which the owner of an operation is told of changes of status. It is a name of its own, so
    /// that Python does not take it for a launch.
    #[must_use]
    pub fn status_hook(&self) -> Self {
        Self::from(format!("{self}#status"))
    }
}
