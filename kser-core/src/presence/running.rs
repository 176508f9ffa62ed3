use serde::{Deserialize, Serialize};

use crate::log::clean;
use crate::{Name, RunId, TaskId, Timestamp};

/// The most characters of the text of a [`TaskProgress`].
const LONGEST_TEXT: usize = 200;

/// An attempt that runs at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunningTask {
    /// The name of the entrypoint.
    pub entrypoint: Name,
    /// The id of the task.
    pub uuid: TaskId,
    /// The run of which it is a step.
    #[serde(default)]
    pub run: Option<RunId>,
    /// The position of the step in its run, counted from 1; 0 is the build.
    #[serde(default)]
    pub step: Option<u32>,
    /// The number of the attempt, counted from 1.
    pub attempt: u32,
    /// The start of the attempt.
    pub since: Timestamp,
    /// The progress that the handler has reported last ([`Context::progress`](crate::Context::progress)).
    #[serde(default)]
    pub progress: Option<TaskProgress>,
}

impl RunningTask {
    /// Makes the entry of a first attempt at a lone task.
    #[must_use]
    pub const fn new(entrypoint: Name, uuid: TaskId, since: Timestamp) -> Self {
        Self {
            entrypoint,
            uuid,
            run: None,
            step: None,
            attempt: 1,
            since,
            progress: None,
        }
    }
}

/// The progress of a handler: `done` of `total`, such as 37 of 100 pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskProgress {
    /// The amount that is done, at most [`total`](Self::total) where that is known.
    pub done: u64,
    /// The amount in all; `None` where it is not known.
    #[serde(default)]
    pub total: Option<u64>,
    /// A text for people, such as `pages`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl TaskProgress {
    /// Makes a progress. A total of 0 is not known, more than the total is the total, and the text is escaped, and cut after 200
    /// characters.
    #[must_use]
    pub fn new(done: u64, total: u64, text: &str) -> Self {
        let total = Some(total).filter(|total| *total > 0);
        Self {
            done: total.map_or(done, |total| done.min(total)),
            total,
            text: clean(text, LONGEST_TEXT).into_owned(),
        }
    }

    /// Returns the share that is done, from 0 to 1; `None` where the total is not known.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let per_mille = self
            .total
            .map(|total| u128::from(self.done.min(total)) * 1000 / u128::from(total.max(1)));
        let per_mille = u16::try_from(per_mille?).unwrap_or(1000);
        Some(f64::from(per_mille) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_is_valid_whatever_a_handler_reports() {
        let progress = TaskProgress::new(37, 100, "pages");
        assert_eq!(progress.share(), Some(0.37));
        assert_eq!(TaskProgress::new(7, 5, "").share(), Some(1.0));
        assert_eq!(TaskProgress::new(7, 5, "").done, 5);
        assert_eq!(TaskProgress::new(u64::MAX, u64::MAX, "").share(), Some(1.0));
        let unknown = TaskProgress::new(7, 0, "");
        assert_eq!(
            (unknown.done, unknown.total, unknown.share()),
            (7, None, None)
        );
        let hostile = TaskProgress::new(1, 2, &format!("\u{1b}]0;\n{}", "x".repeat(1000)));
        assert!(!hostile.text.chars().any(char::is_control), "{hostile:?}");
        assert!(hostile.text.chars().count() < 250, "{hostile:?}");
    }
}
