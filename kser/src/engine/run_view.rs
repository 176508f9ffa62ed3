use kser_core::sequencing::{PlannedStep, Progress, StepWindow};

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

    pub(crate) fn near(&self) -> StepWindow<'_> {
        StepWindow {
            current: self.here.as_deref(),
            following: self.next.as_deref(),
        }
    }
}
