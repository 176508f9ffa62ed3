use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kser_core::sequencing::Progress;
use kser_core::{Metadata, Name, Outcome, Record, RunId, Status, TaskId, Topic, headers};

use super::broker::Spot;
use crate::violation::Violation;

/// The observations of a simulated run at its transport, its store and its handlers, for the invariants.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The deliveries whose outputs are published, and those that are done.
    published: BTreeSet<u64>,
    committed: BTreeSet<u64>,
    /// The records that a group has done.
    pub(crate) done: BTreeSet<Spot>,
    /// How many records were in flight when it was last looked whether all is accounted for.
    pub(crate) in_flight: usize,
    pub(crate) effects: Vec<EffectFacts>,
    pub(crate) runs: BTreeMap<RunId, RunFacts>,
    pub(crate) tasks: BTreeMap<TaskId, TaskFacts>,
    /// The runs and lone tasks that were acknowledged to a client.
    pub(crate) acknowledged: BTreeSet<RunId>,
    pub(crate) attempts: Vec<AttemptFacts>,
    /// The entrypoints whose handlers are watched.
    pub(crate) watched: BTreeSet<Name>,
    /// The payloads of dead letters.
    pub(crate) letters: BTreeMap<Bytes, u32>,
    /// The latest that has begun of each key.
    pub(crate) begun: BTreeMap<(Topic, Bytes), u64>,
    /// The records that the run needs.
    pub(crate) needed: BTreeSet<RecordIdentity>,
    /// The number of records that were published.
    pub(crate) made: usize,
    /// The number of copies that clients published.
    pub(crate) copied_by_clients: usize,
    /// The records that can run, and since when a consumer with a free place does not receive them.
    pub(crate) kept_waiting: BTreeMap<Spot, Duration>,
    /// The payloads of messages that steps have sent and the store has kept.
    pub(crate) kept: BTreeSet<Bytes>,
    /// The topics that services outside of the simulation read.
    pub(crate) outside: BTreeSet<Topic>,
    /// The ids of runs and lone tasks whose ends the check has asked about.
    pub(crate) asked: BTreeSet<String>,
    /// The violations of invariants, each added the moment it occurs.
    pub(crate) broken: Vec<Violation>,
}

/// The identity of a record of a run or of a lone task: a second record with the same identity is a copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RecordIdentity {
    Message { task: TaskId, replays: u64 },
    Event(RunId, Status, Status, u32),
}

/// The observations of one run of an operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunFacts {
    /// Its launch has had an effect: it is to end.
    pub(crate) launched: bool,
    pub(crate) status: Option<Status>,
    pub(crate) outcome: Outcome,
    /// Where it stands in the store.
    pub(crate) stored: Option<Progress>,
    /// How often each step was accepted.
    pub(crate) accepted: BTreeMap<u32, u32>,
    /// A client has repaired the run, as by a resume: it may go on after an end.
    pub(crate) repaired: bool,
    /// The statuses that were announced.
    pub(crate) announced: BTreeSet<Status>,
    /// The last that was published of it.
    pub(crate) latest: u64,
    pub(crate) metadata: Option<Metadata>,
}

/// The observations of one task, a step or a lone one.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskFacts {
    /// The first and the last that was published of it.
    pub(crate) first: u64,
    pub(crate) latest: u64,
    pub(crate) key: Option<(Topic, Bytes)>,
    /// The task was published with a time.
    pub(crate) delayed: bool,
    /// How often it was sent by the settle of another.
    pub(crate) sent: u32,
    pub(crate) letters: u32,
    pub(crate) attempts: u32,
    pub(crate) ended: u32,
    pub(crate) failed: u32,
    /// When it failed last, in which life of a process and generation of the groups, and how often there.
    pub(crate) failed_at: Option<Duration>,
    pub(crate) failed_in: Option<(usize, u64)>,
    pub(crate) failed_in_a_row: u32,
    /// The task is no step of a run, and its handler is watched.
    pub(crate) lone: bool,
    /// The topic that a lone task was sent to last, dead letters apart; `None` for a step of a run.
    pub(crate) alone_in: Option<Topic>,
    /// The outcome of a lone task that has ended.
    pub(crate) outcome: Outcome,
}

/// An attempt at a task.
#[derive(Debug, Clone)]
pub(crate) struct AttemptFacts {
    pub(crate) task: TaskId,
    pub(crate) label: Arc<str>,
    /// The life of a process that made it.
    pub(crate) life: usize,
    /// Its handler has returned.
    pub(crate) ended: bool,
    pub(crate) run: Option<(RunId, u32)>,
    pub(crate) previous: Outcome,
    /// The outcome that the attempt left, if it succeeded.
    pub(crate) left: Option<Outcome>,
}

/// An effect on a service.
#[derive(Debug, Clone)]
pub(crate) struct EffectFacts {
    pub(crate) service: Arc<str>,
    pub(crate) what: Arc<str>,
    pub(crate) key: Option<Arc<str>>,
    /// Other tasks may give the same key.
    pub(crate) shared_key: bool,
    pub(crate) task: TaskId,
    /// The run that the task is a step of; its own id for a lone one.
    pub(crate) run: RunId,
    /// The label of the task.
    pub(crate) label: Arc<str>,
    pub(crate) by: Arc<str>,
    pub(crate) at: Duration,
    /// The service knew the key, and did nothing.
    pub(crate) repeated: bool,
}

impl Facts {
    pub(super) fn published(&mut self, serial: u64) {
        self.published.insert(serial);
    }

    pub(super) fn is_published(&self, serial: u64) -> bool {
        self.published.contains(&serial)
    }

    pub(super) fn committed(&mut self, serial: u64) {
        self.committed.insert(serial);
    }

    pub(super) fn is_committed(&self, serial: u64) -> bool {
        self.committed.contains(&serial)
    }

    pub(crate) fn run(&mut self, id: &RunId) -> &mut RunFacts {
        self.runs.entry(id.clone()).or_default()
    }

    pub(crate) fn task(&mut self, id: &TaskId) -> &mut TaskFacts {
        self.tasks.entry(id.clone()).or_default()
    }

    /// Returns the status and the outcome of a run or of a lone task.
    pub(crate) fn end_of(&self, id: &str) -> Option<(Option<Status>, Outcome)> {
        if let Some(run) = self.runs.get(id) {
            return Some((run.status, run.outcome.clone()));
        }
        let task = self.tasks.get(id).filter(|task| task.is_alone())?;
        Some((Some(task.status()), task.outcome.clone()))
    }

    /// Notes that something does not hold.
    pub(crate) fn add_violation(&mut self, invariant: &'static str, what: String) {
        self.broken.push(Violation { invariant, what });
    }
}

impl TaskFacts {
    /// Says whether it is a lone task that was sent.
    pub(crate) const fn is_alone(&self) -> bool {
        self.alone_in.is_some()
    }

    /// Returns the status of a lone task, which has failed once it is a dead letter.
    pub(crate) const fn status(&self) -> Status {
        if self.ended > self.failed {
            return Status::Success;
        }
        match (self.letters, self.attempts) {
            (1.., _) => Status::Failed,
            (0, 0) => Status::Pending,
            (0, 1..) => Status::Running,
        }
    }

    /// Makes the reason of a dead letter the outcome, unless an attempt has succeeded.
    pub(crate) fn is_given_up(&mut self, letter: &Record) {
        if self.ended > self.failed {
            return;
        }
        let reason = letter.header(headers::ERROR);
        let reason = reason.map(|reason| String::from_utf8_lossy(reason));
        let reason = reason.unwrap_or_default();
        self.outcome = Outcome::default().with_error_message(reason).with_code(500);
    }

    /// Notes that an attempt has failed.
    pub(crate) fn fails(&mut self, now: Duration, here: (usize, u64)) {
        self.failed_in_a_row = match self.failed_in == Some(here) {
            true => self.failed_in_a_row + 1,
            false => 1,
        };
        self.failed_in = Some(here);
        self.failed_at = Some(now);
    }
}

impl RunFacts {
    /// Notes the status of the run, and its outcome once it has ended.
    pub(crate) fn set_status(&mut self, status: Status, outcome: Outcome) {
        if status.is_terminal() {
            self.outcome = outcome;
        }
        self.status = Some(status);
    }

    /// Says whether the run is over: it was not launched, or it has ended and no consumer is at a step of it.
    pub(crate) fn is_over(&self) -> bool {
        let ended = self.status.is_some_and(Status::is_terminal);
        let at_work = self.stored.as_ref().is_some_and(Progress::is_started);
        !self.launched || (ended && !at_work)
    }
}
