use serde::{Deserialize, Serialize};

use crate::{Name, Outcome, RunId, Status};

/// A change of the status of a run, as the consumers of its operation receive it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatusChange {
    /// The run.
    pub run: RunId,
    /// The operation's entrypoint.
    pub name: Name,
    /// The status before.
    pub from: Status,
    /// The status now.
    pub to: Status,
    /// The version of the run's progress, which grows with every change.
    pub version: u64,
    /// The final outcome, at an end.
    pub outcome: Option<Outcome>,
}

impl StatusChange {
    /// Makes a change from its parts.
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
    /// Returns the entrypoint of the messages with changes of status, for an operation of this name. It differs from that of
    /// the operation, so that a Python consumer does not take the message for a launch.
    #[must_use]
    pub fn status_hook(&self) -> Self {
        Self::from(format!("{self}#status"))
    }
}
