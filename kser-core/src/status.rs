use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The status of a step or of a run. The text is the same on the wire and in logs, and is that of the Python library, which
/// has no `CANCELLED`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
#[expect(
    clippy::exhaustive_enums,
    reason = "the wire format closes the list; callers should match all"
)]
pub enum Status {
    /// Not begun, or waiting for a retry.
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
    /// All statuses.
    pub(crate) const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Success,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Says whether the status is an end: `SUCCESS`, `FAILED` or `CANCELLED`.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }

    /// Says whether this is `SUCCESS`.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Success)
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

/// Reads the text in any case, as an operator types it.
impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// The error of reading a [`Status`] from a text that names none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of PENDING, RUNNING, SUCCESS, FAILED and CANCELLED")]
pub struct UnknownStatus(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_is_displayed_in_any_case() {
        for status in Status::ALL {
            assert_eq!(status.to_string().parse::<Status>().ok(), Some(status));
            let lower = status.as_str().to_lowercase();
            assert_eq!(lower.parse::<Status>().ok(), Some(status));
        }
        let error = "DONE".parse::<Status>().expect_err("it is no status");
        assert!(
            error.to_string().contains("\"DONE\" is none of PENDING"),
            "{error}"
        );
    }
}
