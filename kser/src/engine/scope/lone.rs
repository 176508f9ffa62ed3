use kser_core::sequencing::{PlannedStep, Progress};
use kser_core::{Message, Topic};

use super::Counts;
use super::message::step_key;
use crate::engine::run_view::RunView;
use crate::shared::Shared;

/// A task that is no step of a run of this consumer: its only state is the counts of its delivery.
#[derive(Debug)]
pub(crate) struct LoneScope<'a> {
    pub(super) shared: &'a Shared,
    /// Set for the external step of another service's run: the topic of its report.
    pub(super) reply: Option<Topic>,
}

impl LoneScope<'_> {
    pub(super) fn view(message: &Message, counts: Counts) -> RunView {
        let step = PlannedStep::new(step_key(message, 1), message.params.clone());
        RunView {
            progress: Box::new(Self::progress(message, counts)),
            here: Some(Box::new(step)),
            next: None,
        }
    }

    pub(super) fn progress(message: &Message, counts: Counts) -> Progress {
        counts.add_to(Progress::lone(message.result.clone()))
    }
}
