use bytes::Bytes;
use kser_core::sequencing::{External, PlannedStep, Progress, SentStep, carried};
use kser_core::{Envelope, Error, Message, Metadata, Outcome, Raw};

use super::message::{step_key, step_of};
use super::{Counts, ExternalStep};
use crate::engine::run_ref::RunRef;
use crate::engine::run_view::RunView;
use crate::shared::Shared;

/// A version that no run reaches by its changes.
const LATER_THAN_ANY: u64 = 1 << 32;

/// A run whose state rides in its messages.
#[derive(Debug)]
pub(crate) struct CarriedScope<'a> {
    pub(super) shared: &'a Shared,
    pub(super) run: RunRef,
    /// The message at hand, where it asks for the run.
    pub(super) launch: Option<Bytes>,
    /// The steps that ride in the next message: those behind its own.
    pub(super) rest: Option<Raw>,
    /// The steps that ride along after a report that succeeds.
    behind: Option<Raw>,
}

impl<'a> CarriedScope<'a> {
    pub(super) const fn new(shared: &'a Shared, run: RunRef) -> Self {
        Self {
            shared,
            run,
            launch: None,
            rest: None,
            behind: None,
        }
    }

    /// Reads where the run stands from the message of a step, and keeps the steps behind the next one.
    pub(super) fn view(&mut self, message: &Message, counts: Counts) -> Result<RunView, Error> {
        let mut view = RunView::of(self.progress(message, counts));
        if let (Some(envelope), None) = (message.metadata.envelope(), &self.launch) {
            let (next, rest) = split(envelope)?;
            self.rest = rest;
            view.here = step_of(message, envelope);
            view.next = next.map(Box::new);
        }
        Ok(view)
    }

    pub(super) fn progress(&self, message: &Message, counts: Counts) -> Progress {
        counts.add_to(match (message.metadata.envelope(), &self.launch) {
            (Some(envelope), None) => Progress::seen(envelope, message.result.clone()),
            (Some(envelope), Some(_)) => Progress::seen(envelope, Outcome::default()),
            (None, _) => Progress::launched(self.shared.clock.now()),
        })
    }

    /// Has the steps of a plan that was just built ride along, behind the first one.
    pub(super) fn carry(&mut self, plan: &[PlannedStep]) {
        let rest = plan.get(1..).filter(|rest| !rest.is_empty());
        self.rest = rest.map(|rest| carried::encode(&self.run.id, rest));
    }

    /// Reads an external step from its report, which hands on the data that it was sent with.
    pub(super) fn external_step(
        &mut self,
        report: &Message,
        envelope: &Envelope,
    ) -> Result<ExternalStep, Error> {
        let (next, behind) = split(envelope)?;
        self.behind = behind;
        let next = next.map(Box::new);
        let mut envelope = envelope.clone();
        if envelope.version == 0 {
            // The reporter has lost it: the records that follow would be taken for a repetition.
            envelope.version = LATER_THAN_ANY;
        }
        let Some(sent) = &envelope.sent else {
            // Of a step that an earlier version sent, or a reporter that hands on a part: the step cannot be sent again.
            let mut here = PlannedStep::new(step_key(report, envelope.step), report.params.clone());
            here.external = Some(never_again());
            let progress = Progress::seen(&envelope, Outcome::default());
            return Ok(ExternalStep {
                view: RunView {
                    here: Some(Box::new(here)),
                    next,
                    ..RunView::of(progress)
                },
                metadata: report.metadata.user_fields(),
            });
        };
        let SentStep {
            mut step,
            given,
            metadata,
        } = SentStep::decode(sent, &envelope.run, envelope.step)?;
        if envelope.attempts == 0 {
            // The reporter has lost the count: the step would be sent for ever.
            step.external = step.external.map(|_| never_again());
        }
        let view = RunView {
            here: Some(Box::new(step)),
            next,
            ..RunView::of(Progress::seen(&envelope, given))
        };
        Ok(ExternalStep { view, metadata })
    }

    /// Prepares the next message of the run after a report: it carries these metadata of the user, and after a failure the
    /// plan of the reported step, which is sent again.
    pub(super) fn follow_report(
        &mut self,
        metadata: Metadata,
        envelope: &Envelope,
        is_success: bool,
    ) {
        self.run.metadata = metadata;
        self.rest = match is_success {
            true => self.behind.clone(),
            false => envelope.plan.clone(),
        };
    }

    /// Returns where an external step stood when it was sent for the first time.
    pub(super) fn first_sent(envelope: &Envelope, before: &RunView) -> Progress {
        let mut envelope = envelope.clone();
        envelope.attempts = 1;
        envelope.uncounted = 0;
        Progress::seen(&envelope, before.progress.outcome().clone())
    }
}

/// Takes the step after the one that a message is from the plan that rides along, and returns the steps behind it as they are.
pub(super) fn split(envelope: &Envelope) -> Result<(Option<PlannedStep>, Option<Raw>), Error> {
    match &envelope.plan {
        Some(plan) => {
            let (next, rest) = carried::split(plan, &envelope.run, envelope.step + 1)?;
            Ok((Some(next), rest))
        }
        None => Ok((None, None)),
    }
}

const fn never_again() -> External {
    let mut external = External::new(std::time::Duration::ZERO);
    external.attempts = 0;
    external
}
