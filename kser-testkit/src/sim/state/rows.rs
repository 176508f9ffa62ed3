use kser_core::sequencing::Progress;
use kser_core::store::OutputId;
use kser_core::{Record, RunId, Timestamp};

use super::State;
use crate::invariants;

impl State {
    /// Checks and notes the progress of a run that a process has written.
    pub(in crate::sim) fn wrote(
        &mut self,
        life: usize,
        run: &RunId,
        (progress, keeps_outcomes): (&Progress, bool),
        now: Timestamp,
    ) {
        let stored = self.facts.runs.get(run).and_then(|run| run.stored.as_ref());
        let progress = &match stored.filter(|_| keeps_outcomes) {
            Some(stored) => progress.clone().with_outcomes(stored.outcomes()),
            None => self.broker.setup.envelopes.open_progress(progress.clone()),
        };
        let inside = self.lives[life].consumer.is_some();
        let (facts, view) = self.observe();
        invariants::observe_write(facts, view, run, progress, now, inside);
    }

    /// Notes the outputs that a write has brought.
    pub(in crate::sim) fn kept(&mut self, run: &RunId, version: u64, records: Vec<Record>) {
        let id = |index| OutputId {
            run: run.clone(),
            version,
            index,
        };
        let envelopes = &self.broker.setup.envelopes;
        let records: Vec<Record> = records
            .into_iter()
            .map(|record| envelopes.open(record))
            .collect();
        let payloads = records.iter().filter_map(|record| record.payload.clone());
        self.facts.kept.extend(payloads);
        let kept = (0..).zip(records);
        self.outputs
            .extend(kept.map(|(index, record)| (id(index), record)));
    }
}
