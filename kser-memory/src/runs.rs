use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kser_core::sequencing::{PlannedStep, Progress};
use kser_core::store::{
    Attempt, Inserted, NewRun, OUTPUT_PATIENCE, Output, OutputId, RunFilter, RunInfo, Swapped,
    Write,
};
use kser_core::{Instance, Name, Record, RunId, Timestamp};
use tokio::sync::Notify;

use crate::queue::Fixed;

/// All runs, and the indexes over them.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    rows: HashMap<RunId, Row, Fixed>,
    due: BTreeSet<(Timestamp, RunId)>,
    outputs: BTreeMap<OutputId, (Timestamp, Record)>,
    /// In the order in which they were inserted.
    launched: BTreeMap<u64, RunId>,
    /// Those that have ended, the first first.
    ended: VecDeque<RunId>,
    pub(crate) instances: BTreeMap<Instance, u64>,
    inserted: u64,
}

#[derive(Debug)]
struct Row {
    number: u64,
    name: Name,
    launch: Bytes,
    digest: String,
    created: Timestamp,
    progress: Progress,
    plan: Arc<[PlannedStep]>,
    attempts: Vec<Attempt>,
    /// Made when someone waits.
    changed: Option<Arc<Notify>>,
}

impl Runs {
    pub(crate) fn insert(&mut self, run: NewRun, now: Timestamp) -> Inserted {
        if let Some(row) = self.rows.get(&run.id) {
            return match row.digest == run.digest && row.name == run.name {
                true => Inserted::Same(Box::new(row.progress.clone())),
                false => Inserted::Other,
            };
        }
        self.inserted += 1;
        self.launched.insert(self.inserted, run.id.clone());
        self.index(&run.id, None, run.progress.check_at());
        let row = Row {
            number: self.inserted,
            name: run.name,
            launch: run.launch,
            digest: run.digest,
            created: now,
            progress: run.progress,
            plan: run.plan.into(),
            attempts: Vec::new(),
            changed: None,
        };
        self.rows.insert(run.id, row);
        Inserted::New
    }

    pub(crate) fn read(&self, id: &RunId) -> Option<Progress> {
        self.rows.get(id).map(|row| row.progress.clone())
    }

    pub(crate) fn swap(
        &mut self,
        id: &RunId,
        expected: u64,
        write: Write,
        now: Timestamp,
    ) -> Swapped {
        let Some(row) = self.rows.get_mut(id) else {
            return Swapped::Conflict(None);
        };
        if row.progress.version() != expected {
            return Swapped::Conflict(Some(Box::new(row.progress.clone())));
        }
        let version = write.progress.version();
        let (before, after) = (row.progress.check_at(), write.progress.check_at());
        let ended = write.progress.status().is_terminal() && !row.progress.status().is_terminal();
        row.progress = write.progress;
        if let Some(plan) = write.plan {
            row.plan = plan.into();
        }
        row.attempts.extend(write.attempt);
        if let Some(changed) = &row.changed {
            changed.notify_waiters();
        }
        let step = write.fetch.and_then(|position| row.step(position));
        self.index(id, before, after);
        for (index, record) in (0..).zip(write.outputs) {
            let id = OutputId {
                run: id.clone(),
                version,
                index,
            };
            self.outputs.insert(id, (now + OUTPUT_PATIENCE, record));
        }
        if ended {
            self.ended.push_back(id.clone());
        }
        Swapped::Written(step)
    }

    pub(crate) fn step(&self, id: &RunId, position: u32) -> Option<PlannedStep> {
        self.rows.get(id)?.step(position)
    }

    pub(crate) fn due(&self, now: Timestamp, limit: usize) -> Vec<RunId> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        due.take(limit).map(|(_, id)| id.clone()).collect()
    }

    pub(crate) fn outputs_due(&self, now: Timestamp, limit: usize) -> Vec<Output> {
        let due = self.outputs.iter().filter(|(_, (at, _))| *at <= now);
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(_, (at, _))| *at);
        let output = |(id, (_, record)): (&OutputId, &(Timestamp, Record))| Output {
            id: id.clone(),
            record: record.clone(),
        };
        due.into_iter().take(limit).map(output).collect()
    }

    pub(crate) fn relayed(&mut self, outputs: &[OutputId]) {
        for id in outputs {
            self.outputs.remove(id);
        }
    }

    /// Returns what tells of the next change, `None` when the version is another already or there is no such run.
    pub(crate) fn watch(&mut self, id: &RunId, version: u64) -> Option<Arc<Notify>> {
        let row = self.rows.get_mut(id)?;
        let same = row.progress.version() == version;
        same.then(|| Arc::clone(row.changed.get_or_insert_default()))
    }

    pub(crate) fn run(&self, id: &RunId) -> Option<RunInfo> {
        self.rows.get(id).map(|row| row.info(id))
    }

    pub(crate) fn attempts(&self, id: &RunId, skip: usize, limit: usize) -> Vec<Attempt> {
        let attempts = self.rows.get(id).map(|row| row.attempts.iter());
        let attempts = attempts.into_iter().flatten();
        attempts.skip(skip).take(limit).cloned().collect()
    }

    pub(crate) fn list(&self, filter: &RunFilter) -> Vec<RunInfo> {
        let latest_first = self.launched.values().rev();
        let rows = latest_first.filter_map(|id| Some((id, self.rows.get(id)?)));
        let fitting = rows.filter(|(_, row)| {
            let name = filter.name.as_ref().is_none_or(|name| *name == row.name);
            let status = row.progress.status();
            name && filter.status.is_none_or(|wanted| wanted == status)
        });
        let page = fitting.skip(filter.skip).take(filter.limit);
        page.map(|(id, row)| row.info(id)).collect()
    }

    /// Forgets a run that has ended.
    pub(crate) fn purge(&mut self, id: &RunId) -> bool {
        let ended = |row: &Row| row.progress.status().is_terminal();
        if !self.rows.get(id).is_some_and(ended) {
            return false;
        }
        if let Some(row) = self.rows.remove(id) {
            self.launched.remove(&row.number);
        }
        let first = OutputId {
            run: id.clone(),
            version: 0,
            index: 0,
        };
        let outputs = self.outputs.range(first..);
        let outputs = outputs.take_while(|(output, _)| output.run == *id);
        let outputs: Vec<_> = outputs.map(|(output, _)| output.clone()).collect();
        self.relayed(&outputs);
        true
    }

    /// Forgets the runs that ended first, until no more than `kept` are left.
    pub(crate) fn purge_beyond(&mut self, kept: usize) {
        while self.ended.len() > kept {
            if let Some(id) = self.ended.pop_front() {
                // One that was repaired since is in no hurry.
                self.purge(&id);
            }
        }
    }

    fn index(&mut self, id: &RunId, before: Option<Timestamp>, after: Option<Timestamp>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, id.clone()));
        }
        if let Some(after) = after {
            self.due.insert((after, id.clone()));
        }
    }
}

impl Row {
    fn step(&self, position: u32) -> Option<PlannedStep> {
        let index = usize::try_from(position).ok()?.checked_sub(1)?;
        self.plan.get(index).cloned()
    }

    fn info(&self, id: &RunId) -> RunInfo {
        RunInfo::new(
            id.clone(),
            self.name.clone(),
            self.launch.clone(),
            self.created,
            self.progress.clone(),
        )
    }
}
