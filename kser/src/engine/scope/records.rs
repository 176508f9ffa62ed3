use kser_core::sequencing::{Event, PlannedStep, Progress, Transition, apply};
use kser_core::store::OutputId;
use kser_core::{Error, Raw, Record};

use super::RunScope;
use crate::engine::run_change::RunChange;
use crate::engine::run_view::RunView;
use crate::engine::stored::output_ids;

impl RunScope<'_> {
    /// Names the outputs that the store keeps with a version of the run until they are relayed.
    pub(crate) fn output_ids(&self, version: u64, count: usize) -> Vec<OutputId> {
        self.leased_run()
            .map_or_else(Vec::new, |run| output_ids(&run.id, version, count))
    }

    /// Says whether the records that an event asks for could be written, before it counts: else the run could go no further.
    ///
    /// # Errors
    ///
    /// Of the first record that cannot be written.
    pub(crate) fn must_fit(&self, view: &RunView, event: Event) -> Result<(), Error> {
        let Ok(after) = apply(&view.progress, view.near(), event, self.now()) else {
            return Ok(());
        };
        let writer = &self.shared().writer;
        match self.run() {
            Some(run) => writer.must_fit(run, self.change(view, &after)),
            None => writer.outcome_fits(after.progress.outcome()),
        }
    }

    /// Writes the records that a transition asks for.
    ///
    /// # Errors
    ///
    /// Of the first record that cannot be written.
    pub(crate) fn records(
        &self,
        before: &RunView,
        after: &Transition,
    ) -> Result<Vec<Record>, Error> {
        let Some(run) = self.run() else {
            return Ok(Vec::new());
        };
        let change = self.change(before, after);
        let mut records = self.shared().writer.effects(run, change, self.wall())?;
        self.to_local_clock(&mut records);
        Ok(records)
    }

    /// Writes the message of a step.
    ///
    /// # Errors
    ///
    /// When the message is larger than its limit.
    pub(crate) fn step_record(
        &self,
        step: &PlannedStep,
        progress: &Progress,
    ) -> Option<Result<Record, Error>> {
        let writer = &self.shared().writer;
        self.run()
            .map(|run| writer.step(run, step, progress, self.rest()))
    }

    /// Has records that wait by the clock of the run wait by the local one, by which transports go.
    pub(crate) fn to_local_clock(&self, records: &mut [Record]) {
        if let Self::Stored(scope) = self {
            for record in records {
                let at = record.not_before;
                record.not_before = at.map(|at| scope.stored.shared.store_clock.to_local(at));
            }
        }
    }

    fn change<'m>(&'m self, before: &'m RunView, after: &'m Transition) -> RunChange<'m> {
        RunChange {
            before: &before.progress,
            after,
            near: before.near(),
            launch: match self {
                Self::Lone(_) => None,
                Self::Carried(carried) => carried.launch.as_ref(),
                Self::Stored(stored) => stored.launch.as_ref(),
            },
            rest: self.rest(),
        }
    }

    const fn rest(&self) -> Option<&Raw> {
        match self {
            Self::Carried(carried) => carried.rest.as_ref(),
            _ => None,
        }
    }
}
