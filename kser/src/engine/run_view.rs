use kser_core::sequencing::{PlannedStep, Progress, StepWindow};
use kser_core::store::Standing;

/// A run as it is known: its progress, and the two steps that the rules need.
#[derive(Debug, Clone)]
pub(crate) struct RunView {
    // Boxed, because it is moved from hand to hand on every step.
    pub(crate) progress: Box<Progress>,
    pub(crate) here: Option<Box<PlannedStep>>,
    pub(crate) next: Option<Box<PlannedStep>>,
}

impl RunView {
    /// Makes the view of a run of which no step is known.
    pub(crate) fn of(progress: Progress) -> Self {
        Self {
            progress: Box::new(progress),
            here: None,
            next: None,
        }
    }

    /// Makes the view of a run from the answer of its store.
    pub(crate) fn of_standing(standing: Standing) -> Self {
        let Standing {
            progress,
            here,
            next,
            ..
        } = standing;
        Self {
            progress: Box::new(progress),
            here: here.map(Box::new),
            next: next.map(Box::new),
        }
    }

    pub(crate) fn near(&self) -> StepWindow<'_> {
        StepWindow {
            current: self.here.as_deref(),
            following: self.next.as_deref(),
        }
    }
}
