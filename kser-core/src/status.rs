use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a step or a run is. The text is the same on the wire and in logs, and is that of the Python library
/// (`CANCELLED` is ours).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
#[expect(
    clippy::exhaustive_enums,
    reason = "the wire format closes the list; callers should match all"
)]
pub enum Status {
    /// Not begun, or waiting to be tried again.
    #[default]
    Pending,
    /// Begun.
    Running,
    /// Done.
    Success,
    /// Given up.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl Status {
    /// Says whether this is an end: `SUCCESS`, `FAILED` or `CANCELLED`.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }

    /// Returns the text, such as `PENDING`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
