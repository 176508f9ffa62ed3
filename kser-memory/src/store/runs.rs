use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kser_core::sequencing::{PlannedStep, Progress, Revision};
use kser_core::store::{
    DueRun, NewRun, Output, OutputId, Page, RunFilter, RunSummary, Tombstone, Write,
};
use kser_core::{Clock, Error, Record, RunId, Timestamp, Topic};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::finished::{Finished, Limits};
use super::listed::Listed;
use super::run::{Kept, Run, Shown};
use super::tombstones::Tombstones;

/// All runs, and the indexes over them, which the lock of the store guards.
#[derive(Debug)]
pub(super) struct Runs {
    /// Looked up by id only, so that its order has no effect.
    runs: HashMap<RunId, Run>,
    /// The ids by the numbers of the runs, in the order of their launches.
    launched: BTreeMap<u64, RunId>,
    listed: Listed,
    /// The checks by the topics in which the records of the runs wait.
    due: BTreeMap<Topic, BTreeSet<(Timestamp, u64)>>,
    outputs: BTreeMap<(Timestamp, u64), Output>,
    pub(super) finished: Finished,
    tombstones: Tombstones,
    /// The due time until which callers of `await_due` sleep; `None` when none of them sleeps.
    awaited: Option<Timestamp>,
    /// Wakes these callers when an earlier run or output is written.
    earlier: Arc<Notify>,
    turns: u64,
    incarnations: u64,
    clock: Arc<dyn Clock>,
    latest: Timestamp,
}

/// The answer of an insert, before the state of the run is copied.
pub(super) enum InsertAnswer {
    New,
    Same(Shown),
    Other,
    Purged(Tombstone),
}

/// The answer of a swap, before the state of the run is copied.
pub(super) enum SwapAnswer {
    Written(Option<PlannedStep>),
    Conflict(Known),
}

/// The state of an id, before the state of the run is copied.
pub(super) enum Known {
    Stands(Shown),
    Purged(Tombstone),
    Unknown,
}

/// Values to drop after the lock is released.
pub(super) type Dropped = (Option<Arc<Progress>>, Vec<Run>);

impl Runs {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            runs: HashMap::default(),
            launched: BTreeMap::new(),
            listed: Listed::default(),
            due: BTreeMap::new(),
            outputs: BTreeMap::new(),
            finished: Finished::default(),
            tombstones: Tombstones::default(),
            awaited: None,
            earlier: Arc::default(),
            turns: 0,
            incarnations: 0,
            clock,
            latest: Timestamp::default(),
        }
    }

    /// Returns the time, which never goes back.
    pub(super) fn now(&mut self) -> Timestamp {
        self.latest = self.latest.max(self.clock.now());
        self.latest
    }

    pub(super) const fn next_incarnation(&mut self) -> u64 {
        self.incarnations += 1;
        self.incarnations
    }

    pub(super) fn insert(&mut self, mut new: NewRun, now: Timestamp) -> InsertAnswer {
        if let Some(run) = self.runs.get(&new.id) {
            return match run.digest == new.digest && run.name == new.name {
                true => InsertAnswer::Same(run.shown()),
                false => InsertAnswer::Other,
            };
        }
        match self.tombstones.get(&new.id) {
            Some(tombstone) if new.unless_purged => {
                let is_same = tombstone.digest == new.digest && tombstone.name == new.name;
                return match is_same {
                    true => InsertAnswer::Purged(tombstone.clone()),
                    false => InsertAnswer::Other,
                };
            }
            Some(_) => self.tombstones.remove(&new.id),
            None => {}
        }
        let id = new.id.clone();
        let number = self.next_turn();
        if let Some(at) = new.progress.check_at() {
            self.look_at(&new.topic, at, number);
        }
        let (outputs, due_in) = (std::mem::take(&mut new.outputs), new.outputs_due_in);
        let version = new.progress.version();
        self.launched.insert(number, id.clone());
        self.listed
            .insert(&new.name, new.progress.status(), (now, number));
        self.runs.insert(id.clone(), Run::new(new, number, now));
        self.keep_outputs(&id, version, outputs, now + due_in);
        self.note_end(&id);
        InsertAnswer::New
    }

    /// Returns the state of an id.
    pub(super) fn known(&self, id: &RunId) -> Known {
        match (self.runs.get(id), self.tombstones.get(id)) {
            (Some(run), _) => Known::Stands(run.shown()),
            (None, Some(tombstone)) => Known::Purged(tombstone.clone()),
            (None, None) => Known::Unknown,
        }
    }

    pub(super) fn get(&self, id: &RunId) -> Option<&Run> {
        self.runs.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &RunId) -> Option<&mut Run> {
        self.runs.get_mut(id)
    }

    pub(super) fn swap(
        &mut self,
        id: &RunId,
        expected: Revision,
        write: Write,
        now: Timestamp,
        dropped: &mut Dropped,
    ) -> SwapAnswer {
        let Some(run) = self.runs.get_mut(id) else {
            return SwapAnswer::Conflict(self.known(id));
        };
        if run.progress.revision() != expected {
            let ours = write.progress.revision();
            // The swap is repeated, because its answer was lost.
            if ours.stamp != 0 && run.progress.revision() == ours {
                let step = write.fetch.and_then(|position| run.step(position));
                return SwapAnswer::Written(step);
            }
            return SwapAnswer::Conflict(Known::Stands(run.shown()));
        }
        let Write {
            mut progress,
            plan,
            attempt,
            outputs,
            outputs_due_in,
            fetch,
            topic,
            keeps_outcomes,
            ..
        } = write;
        if keeps_outcomes {
            progress = progress.with_outcomes(run.progress.outcomes());
        }
        let statuses = (run.progress.status(), progress.status());
        self.listed
            .change(&run.name, statuses, (run.created, run.number));
        let (before, after) = (run.look_at, progress.check_at());
        run.look_at = after;
        let version = progress.version();
        let number = run.number;
        let ended = run.finished.is_some() || progress.status().is_terminal();
        dropped.0 = Some(std::mem::replace(&mut run.progress, Arc::new(progress)));
        if let Some(plan) = plan {
            run.plan = plan.into();
        }
        run.attempts.extend(attempt);
        run.wake();
        let step = fetch.and_then(|position| run.step(position));
        let moved = topic.filter(|topic| *topic != run.topic);
        if before != after || moved.is_some() {
            let old = run.topic.clone();
            if let Some(topic) = moved {
                run.topic = topic;
            }
            let new = run.topic.clone();
            if let Some(at) = before {
                self.look_no_more(&old, at, number);
            }
            if let Some(at) = after {
                self.look_at(&new, at, number);
            }
        }
        self.keep_outputs(id, version, outputs, now + outputs_due_in);
        if ended {
            self.note_end(id);
        }
        SwapAnswer::Written(step)
    }

    /// Lists the runs of a topic that are due, and claims them.
    pub(super) fn due(
        &mut self,
        topic: &Topic,
        now: Timestamp,
        waited: Duration,
        limit: usize,
        hold: Duration,
    ) -> Vec<DueRun> {
        let due = self.due.get(topic).into_iter().flatten();
        let due = due.take_while(|(at, _)| *at + waited <= now).take(limit);
        let due: Vec<(Timestamp, u64)> = due.copied().collect();
        let mut told = Vec::with_capacity(due.len());
        for (at, number) in due {
            let Some(id) = self.launched.get(&number).cloned() else {
                continue;
            };
            let Some(run) = self.runs.get_mut(&id) else {
                continue;
            };
            told.push(run.due(&id));
            if !hold.is_zero() {
                let until = now + hold;
                run.look_at = Some(until);
                self.look_no_more(topic, at, number);
                self.look_at(topic, until, number);
            }
        }
        told
    }

    /// Returns when the earliest run or output is due, and a future that is ready once an earlier one is written.
    pub(super) fn await_due(&mut self) -> (Option<Timestamp>, OwnedNotified) {
        let runs = self.due.values().filter_map(BTreeSet::first);
        let outputs = self.outputs.keys();
        let earliest = runs.chain(outputs.take(1)).map(|(at, _)| *at).min();
        self.awaited = Some(earliest.unwrap_or(Timestamp::from_millis(u64::MAX)));
        // Made under the lock, so that no later write is missed.
        (earliest, Arc::clone(&self.earlier).notified_owned())
    }

    /// Wakes the callers of `await_due` that sleep until a later time than `at`.
    fn wake_before(&mut self, at: Timestamp) {
        if self.awaited.is_some_and(|awaited| at < awaited) {
            self.awaited = None;
            self.earlier.notify_waiters();
        }
    }

    /// Lists the outputs that are due, and claims them.
    pub(super) fn outputs_due(
        &mut self,
        now: Timestamp,
        limit: usize,
        hold: Duration,
    ) -> Vec<Output> {
        let due = self.outputs.iter().take_while(|((at, _), _)| *at <= now);
        let due = due.take(limit);
        let due: Vec<_> = due
            .map(|(place, output)| (*place, output.clone()))
            .collect();
        if !hold.is_zero() {
            for (place, output) in &due {
                self.move_output(*place, now + hold, &output.id);
            }
        }
        due.into_iter().map(|(_, output)| output).collect()
    }

    /// Defers an output, which stays in its order.
    fn move_output(&mut self, place: (Timestamp, u64), due: Timestamp, id: &OutputId) {
        let moved = (due, place.1);
        if let Some(output) = self.outputs.remove(&place) {
            self.outputs.insert(moved, output);
            self.wake_before(due);
        }
        let kept = self.runs.get_mut(&id.run).into_iter();
        let mut kept = kept.flat_map(|run| &mut run.outputs);
        if let Some(kept) = kept.find(|kept| kept.place == place) {
            kept.place = moved;
        }
    }

    pub(super) fn relayed(&mut self, outputs: &[OutputId]) {
        for id in outputs {
            let Some(run) = self.runs.get_mut(&id.run) else {
                continue;
            };
            let is_it = |kept: &Kept| kept.version == id.version && kept.index == id.index;
            let Some(at) = run.outputs.iter().position(is_it) else {
                continue;
            };
            let kept = run.outputs.swap_remove(at);
            self.outputs.remove(&kept.place);
            self.note_end(&id.run);
        }
    }

    /// Returns the ids that begin with a prefix, in the order of their bytes. It looks at each id: no index is kept for it, since a
    /// store in memory is asked from within its program, which knows the ids.
    pub(super) fn find(&self, prefix: &str, limit: usize) -> Vec<RunId> {
        let ids = self.runs.keys();
        let mut found: Vec<&RunId> = ids.filter(|id| id.as_str().starts_with(prefix)).collect();
        found.sort_unstable();
        found.into_iter().take(limit).cloned().collect()
    }

    /// Returns a page of the runs, the latest launched first.
    pub(super) fn list(&self, filter: &RunFilter) -> Result<Page<RunSummary>, Error> {
        let size = filter.page_size();
        let places = self.listed.page(filter, size + 1)?.into_iter();
        let run = |(_, number)| {
            let id = self.launched.get(&number)?;
            Some((number, self.runs.get(id)?.summary(id)))
        };
        let cursor = |(number, run): &(u64, RunSummary)| filter.cursor(run.created, *number);
        let page = Page::of(places.filter_map(run).collect(), size, cursor);
        Ok(page.map(|(_, run)| run))
    }

    /// Counts the runs that fit a filter, but no more than `most`.
    pub(super) fn count(&self, filter: &RunFilter, most: usize) -> usize {
        self.listed.count(filter, most)
    }

    /// Removes a run that has ended, with all of its data.
    pub(super) fn purge(&mut self, id: &RunId) -> Option<Run> {
        if !self.runs.get(id)?.progress.status().is_terminal() {
            return None;
        }
        let mut run = self.runs.remove(id)?;
        self.launched.remove(&run.number);
        let status = run.progress.status();
        self.listed
            .remove(&run.name, status, (run.created, run.number));
        if let Some(at) = run.look_at {
            self.look_no_more(&run.topic, at, run.number);
        }
        if let Some(turn) = run.finished {
            self.finished.remove(turn);
        }
        for kept in &run.outputs {
            self.outputs.remove(&kept.place);
        }
        run.wake();
        let (name, digest) = (run.name.clone(), std::mem::take(&mut run.digest));
        let (status, now) = (run.progress.status(), self.now());
        let tombstone = Tombstone::new(name, digest, status, now);
        self.tombstones.insert(id.clone(), tombstone);
        Some(run)
    }

    /// Removes the runs that were finished first, down to the limits.
    pub(super) fn purge_beyond(&mut self, limits: Limits, dropped: &mut Dropped) {
        while let Some(id) = self.finished.beyond(limits) {
            dropped.1.extend(self.purge(&id));
        }
    }

    /// Removes one watch of a run.
    pub(super) fn unwatch(&mut self, id: &RunId) {
        self.finished.unwatch(id);
        self.note_end(id);
    }

    fn look_at(&mut self, topic: &Topic, at: Timestamp, number: u64) {
        self.wake_before(at);
        match self.due.get_mut(topic) {
            Some(due) => drop(due.insert((at, number))),
            None => drop(
                self.due
                    .insert(topic.clone(), BTreeSet::from([(at, number)])),
            ),
        }
    }

    fn look_no_more(&mut self, topic: &Topic, at: Timestamp, number: u64) {
        if let Some(due) = self.due.get_mut(topic) {
            due.remove(&(at, number));
        }
    }

    fn keep_outputs(&mut self, id: &RunId, version: u64, records: Vec<Record>, due: Timestamp) {
        for (index, record) in (0..).zip(records) {
            let place = (due, self.next_turn());
            let output = OutputId {
                run: id.clone(),
                version,
                index,
            };
            if let Some(run) = self.runs.get_mut(id) {
                run.outputs.push(Kept {
                    version,
                    index,
                    place,
                });
                self.outputs.insert(place, Output::new(output, record));
                self.wake_before(place.0);
            }
        }
    }

    /// Updates whether a run is finished.
    fn note_end(&mut self, id: &RunId) {
        if let Some(run) = self.runs.get_mut(id) {
            self.finished.note(id, run);
        }
    }

    const fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }
}
