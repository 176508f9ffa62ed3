//! The writes that wait. All swaps, or all inserts, that wait at the same moment go out together.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kser_core::RunId;
use kser_core::store::OutputId;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::columns::Answer;
use super::failure::Failure;
use super::inserts::{Insert, InsertAnswer};
use super::swaps::{Swap, SwapAnswer};

/// The writes of a group at most, so that the first of them does not wait for long.
const LARGEST_GROUP: usize = 256;
/// The bytes of a group at which no further write joins it.
const LARGEST_BYTES: usize = 4 << 20;

/// Sends the answer of a write to its caller, whose future may be dropped.
pub(super) type Caller<T> = oneshot::Sender<Result<T, Failure>>;

/// A write that waits.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) write: Write,
    /// The time until which the write is tried again after the loss of a connection.
    pub(super) deadline: Instant,
    /// Whether an error of its group has it written alone.
    pub(super) alone: bool,
}

#[derive(Debug)]
pub(super) enum Write {
    Swap(Box<Swap>, Caller<Answer<SwapAnswer>>),
    Insert(Box<Insert>, Caller<Answer<InsertAnswer>>),
    Relay(Vec<OutputId>, Caller<()>),
    Purge(RunId, Caller<bool>),
    Register(String, Caller<Answer<u64>>),
}

impl Job {
    /// The run whose writes keep their order.
    fn run(&self) -> Option<&RunId> {
        match &self.write {
            Write::Swap(swap, _) => Some(swap.id()),
            Write::Insert(insert, _) => Some(insert.id()),
            Write::Purge(id, _) => Some(id),
            Write::Relay(..) | Write::Register(..) => None,
        }
    }

    fn size(&self) -> usize {
        match &self.write {
            Write::Swap(swap, _) => swap.size(),
            Write::Insert(insert, _) => insert.size(),
            _ => 0,
        }
    }

    /// Says whether the two can be one statement.
    fn goes_with(&self, other: &Self) -> bool {
        let same = matches!(
            (&self.write, &other.write),
            (Write::Swap(..), Write::Swap(..))
                | (Write::Insert(..), Write::Insert(..))
                | (Write::Relay(..), Write::Relay(..))
        );
        same && !self.alone && !other.alone
    }

    /// Says whether the write may be repeated when its outcome is unknown.
    pub(super) const fn is_repeatable(&self) -> bool {
        match &self.write {
            Write::Swap(swap, _) => swap.is_repeatable(),
            _ => true,
        }
    }

    /// Answers with a failure.
    pub(super) fn fail(self, failure: Failure) {
        // The caller may have gone.
        match self.write {
            Write::Swap(_, caller) => drop(caller.send(Err(failure))),
            Write::Insert(_, caller) => drop(caller.send(Err(failure))),
            Write::Relay(_, caller) => drop(caller.send(Err(failure))),
            Write::Purge(_, caller) => drop(caller.send(Err(failure))),
            Write::Register(_, caller) => drop(caller.send(Err(failure))),
        }
    }
}

/// The writes that wait, of which the writers take groups.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// The runs with a write under way, whose next writes wait for its end.
    busy: BTreeSet<RunId>,
}

impl Queue {
    pub(super) fn push(&self, job: Job) {
        self.waiting().jobs.push_back(job);
        self.added.notify_one();
    }

    /// Waits for writes, and takes those that can go out together, the one that has waited longest among them.
    pub(super) async fn take(&self) -> Vec<Job> {
        loop {
            let group = self.waiting().take();
            if !group.is_empty() {
                return group;
            }
            self.added.notified().await;
        }
    }

    /// Frees the runs of a group whose writes have ended, and puts back, at the front, the writes that are to be repeated.
    pub(super) fn finish(&self, runs: &[RunId], again: Vec<Job>) {
        let mut waiting = self.waiting();
        for run in runs {
            waiting.busy.remove(run);
        }
        for job in again.into_iter().rev() {
            waiting.jobs.push_front(job);
        }
        let more = !waiting.jobs.is_empty();
        drop(waiting);
        if more {
            self.added.notify_one();
        }
    }

    /// Returns the runs of a group.
    pub(super) fn runs(group: &[Job]) -> Vec<RunId> {
        group.iter().filter_map(Job::run).cloned().collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self) -> Vec<Job> {
        let mut group: Vec<Job> = Vec::new();
        let mut bytes = 0;
        let mut left = VecDeque::new();
        // The runs whose earlier write is under way, in the group or left.
        let mut passed: BTreeSet<RunId> = BTreeSet::new();
        while let Some(job) = self.jobs.pop_front() {
            let fits = group.first().is_none_or(|first| first.goes_with(&job))
                && group.len() < LARGEST_GROUP
                && (group.is_empty() || bytes + job.size() <= LARGEST_BYTES);
            let free = job
                .run()
                .is_none_or(|run| !self.busy.contains(run) && !passed.contains(run));
            if fits && free {
                bytes += job.size();
                if let Some(run) = job.run() {
                    self.busy.insert(run.clone());
                }
                group.push(job);
            } else {
                if let Some(run) = job.run() {
                    passed.insert(run.clone());
                }
                left.push_back(job);
            }
            if group.len() == LARGEST_GROUP {
                break;
            }
        }
        left.append(&mut self.jobs);
        self.jobs = left;
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purge(run: &str) -> Write {
        Write::Purge(run.into(), oneshot::channel().0)
    }

    fn register(name: &str) -> Write {
        Write::Register(name.to_owned(), oneshot::channel().0)
    }

    fn queue(writes: impl IntoIterator<Item = Write>) -> Queue {
        let queue = Queue::default();
        for write in writes {
            let deadline = Instant::now();
            queue.push(Job {
                write,
                deadline,
                alone: false,
            });
        }
        queue
    }

    fn names(group: &[Job]) -> Vec<String> {
        let name = |job: &Job| match &job.write {
            Write::Purge(id, _) => id.to_string(),
            Write::Register(name, _) => name.clone(),
            _ => String::new(),
        };
        group.iter().map(name).collect()
    }

    #[tokio::test]
    async fn the_writes_of_a_run_keep_their_order() {
        let queue = queue([purge("a"), purge("a"), register("x")]);
        let first = queue.take().await;
        assert_eq!(names(&first), ["a"]);
        assert_eq!(
            names(&queue.take().await),
            ["x"],
            "another write does not wait"
        );
        assert!(
            queue.waiting().take().is_empty(),
            "the second write of the run waits"
        );
        queue.finish(&Queue::runs(&first), first);
        let repeated = queue.take().await;
        assert_eq!(names(&repeated), ["a"]);
        assert_eq!(
            queue.waiting().jobs.len(),
            1,
            "the repeated write is the first one"
        );
        queue.finish(&Queue::runs(&repeated), Vec::new());
        assert_eq!(names(&queue.take().await), ["a"]);
    }
}
