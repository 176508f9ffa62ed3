use serde::{Deserialize, Serialize};

use super::Progress;
use crate::Outcome;

/// The outcomes of a progress, which are as large as the tasks make them.
///
/// A store keeps them apart: most changes of a run, such as the renewal of a lease, leave them as they are. They are read from JSON
/// that has more fields, too, such as that of a whole progress.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Outcomes {
    /// The outcome that is forwarded to the step at the position.
    pub outcome: Outcome,
    /// The outcome of the failed step, while the run is FAILED.
    pub failure: Option<Outcome>,
}

impl Progress {
    /// Returns the outcomes. Cloning them is cheap.
    #[must_use]
    pub fn outcomes(&self) -> Outcomes {
        Outcomes {
            outcome: self.outcome.clone(),
            failure: self.failure.clone(),
        }
    }

    /// Replaces the outcomes.
    #[must_use]
    pub fn with_outcomes(mut self, outcomes: Outcomes) -> Self {
        self.outcome = outcomes.outcome;
        self.failure = outcomes.failure;
        self
    }

    /// Says whether the outcomes are still those of `before`, from which the rules have made this progress: the forwarded outcome
    /// changes with the position alone.
    ///
    /// The outcomes themselves are not compared: a hint from a message may have another form of the stored ones.
    #[must_use]
    pub fn keeps_outcomes_of(&self, before: &Self) -> bool {
        self.position == before.position && self.failure == before.failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn outcomes_are_read_from_a_whole_progress_too() {
        let outcomes = Outcomes {
            outcome: Outcome::text("forwarded"),
            failure: Some(Outcome::text("failed")),
        };
        let launched = Progress::launched(Timestamp::from_millis(7));
        let whole = launched.clone().with_outcomes(outcomes.clone());
        assert_eq!(whole.outcomes(), outcomes);
        for text in [
            serde_json::to_string(&whole).unwrap(),
            serde_json::to_string(&outcomes).unwrap(),
        ] {
            assert_eq!(serde_json::from_str::<Outcomes>(&text).unwrap(), outcomes);
        }
    }
}
