use kser_core::sequencing::{PlannedStep, Progress, StepKey};
use kser_core::{Envelope, Message, Mode};

use crate::engine::run_view::RunView;

/// Returns where the run stood when a message was written, with the step that the message is.
pub(crate) fn seen_alone(message: &Message, envelope: &Envelope) -> RunView {
    RunView {
        here: step_of(message, envelope),
        ..RunView::of(Progress::seen(envelope, message.result.clone()))
    }
}

/// Names the step that a message is about.
pub(crate) fn step_key(message: &Message, position: u32) -> StepKey {
    StepKey {
        position,
        uuid: message.uuid.clone(),
        entrypoint: message.entrypoint.clone(),
    }
}

/// Returns the version of the run in a message, which tells it from a message that was published again.
pub(crate) fn version_seen(message: &Message) -> u64 {
    let envelope = message.metadata.envelope();
    envelope.map_or(0, |envelope| envelope.version)
}

/// The state from which a message was written, beside the state that the store has of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lineage {
    /// It is a state of this run, now or earlier.
    OfTheRun,
    /// It is a state that the store will not reach: of an earlier run of the same id, which was purged, or of a run that went
    /// on from it before a backup was restored.
    OfAnother,
    /// It is a later state than the store has, as after the restore of a backup.
    Ahead,
}

impl Lineage {
    /// Compares a message with the state that the store has of its run. A number that is 0 tells nothing.
    pub(crate) fn of(message: &Message, stored: &Progress) -> Self {
        let Some(envelope) = message.metadata.envelope() else {
            return Self::OfTheRun;
        };
        let differ = |one: u64, other: u64| one != 0 && other != 0 && one != other;
        let same_version = envelope.version == stored.version();
        if differ(envelope.life, stored.life()) {
            return Self::OfAnother;
        }
        if envelope.version > stored.version() {
            return Self::Ahead;
        }
        match same_version && differ(envelope.stamp, stored.stamp()) {
            true => Self::OfAnother,
            false => Self::OfTheRun,
        }
    }
}

/// Says whether the state of the run of a message is in a store; `None` for a lone task.
pub(crate) fn is_stored(message: &Message) -> Option<bool> {
    message.metadata.envelope().map(is_stored_run)
}

/// Says whether the state of the run that an envelope names is in a store.
pub(crate) fn is_stored_run(envelope: &Envelope) -> bool {
    envelope.mode == Mode::Stored
}

/// Returns the step that a message is; `None` for a launch.
pub(crate) fn step_of(message: &Message, envelope: &Envelope) -> Option<Box<PlannedStep>> {
    (envelope.step > 0).then(|| {
        let key = step_key(message, envelope.step);
        Box::new(PlannedStep::new(key, message.params.clone()))
    })
}
