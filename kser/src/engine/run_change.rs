use bytes::Bytes;
use kser_core::Raw;
use kser_core::sequencing::{PlannedStep, Progress, StepWindow, Transition};

/// A transition of a run, with the data that its records are written from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunChange<'a> {
    pub(crate) before: &'a Progress,
    pub(crate) after: &'a Transition,
    /// The steps that were near before the transition.
    pub(crate) near: StepWindow<'a>,
    /// The message that asked for the run.
    pub(crate) launch: Option<&'a Bytes>,
    /// Carried: the steps behind the one that is published.
    pub(crate) rest: Option<&'a Raw>,
}

impl<'a> RunChange<'a> {
    /// Returns the step of the plan at a position, if it is near.
    pub(crate) fn planned(self, position: u32) -> Option<&'a PlannedStep> {
        let steps = [self.near.current, self.near.following];
        let mut steps = steps.into_iter().flatten();
        steps.find(|step| step.key.position == position)
    }
}
