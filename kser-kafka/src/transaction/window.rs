//! The window of a member: a batch of ended deliveries whose outputs and offsets become visible by one transaction.
//!
//! Pure: no client, no clock, no thread. The owner carries out each [`Action`], and reports its end as an [`Event`].

use std::collections::{BTreeSet, VecDeque};

use crate::channel::RecordId;

/// The number of transactions in a row that are aborted before the producer is given up.
const ABORTS: u32 = 2;
/// The number of calls in a row that may ask to be repeated before the transaction is aborted.
const REPEATS: u32 = 5;

/// The bounds of a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    /// The number of partitions, which bounds the bytes of the commit metadata.
    pub(crate) partitions: usize,
}

/// An ended delivery: the number by which its owner finds it, the input record, and the size of its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) number: u64,
    pub(crate) id: RecordId,
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// A call that the owner makes, with the next event as its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Replace the producer by a new one with the same transactional id, which aborts the transaction of its predecessor.
    Fence,
    /// Read the committed offsets back, to learn whether the last statement was committed.
    ReadBack,
    /// Begin a transaction.
    Begin,
    /// Have the poll thread state the offsets and the maps as if the deliveries of the window were done.
    State,
    /// Send the stated offsets.
    SendOffsets,
    Commit,
    Abort,
}

/// The end of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The outputs and the offset are committed.
    Settled,
    /// The member has lost the partition. Nothing of the delivery is visible.
    Lost,
    /// Some outputs are refused. Nothing of the delivery is visible.
    Refused,
    /// The same, for a delivery that the poll thread counts as done: the member has to end, so that the record is redelivered.
    Broken,
}

/// The next work of the owner.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Wait for an event.
    Wait,
    /// Wait for a while, and then report [`Event::Paused`].
    Pause,
    /// Make a call.
    Call(Step),
    /// Send the outputs of these deliveries in order.
    Send(Vec<u64>),
    /// Report these ends. `is_committed`: the last statement is durable, which the poll thread is told first.
    Finish {
        ends: Vec<(u64, Ending)>,
        is_committed: bool,
    },
    /// The owner may end.
    End,
}

/// The answer to a call of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    /// The call has succeeded after the client lost a connection: a request that the client has repeated may still arrive.
    DoneDoubtfully,
    /// The call had no effect, and can be repeated.
    Again,
    /// The transaction has to be aborted.
    Abort,
    /// The producer cannot be used any more, or the outcome is unknown.
    GiveUp,
}

/// The reason why an output of a delivery is not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The broker refuses the size of a batch, which may be another record's.
    Size,
    /// The broker refuses the record.
    Refused,
    /// The outcome is unknown, as after a timeout.
    Unknown,
}

#[derive(Debug)]
pub(crate) enum Event {
    HandedIn(Ended),
    /// The poll thread has changes to commit.
    OffsetsWanted,
    /// The poll thread has ended: all partitions are lost.
    Stopped,
    /// The pause is over.
    Paused,
    Fenced(Answer),
    /// Whether the last statement is committed; `None` if that cannot be read now.
    ReadBack(Option<bool>),
    Begun(Answer),
    /// An output of a delivery is not published.
    Failed(u64, Failure),
    /// All outputs of a delivery are reported.
    Reported(u64),
    /// Some outputs are not published, and the other reports may not come.
    GaveReportsUp,
    Stated(Statement),
    OffsetsSent(Answer),
    Committed(Answer),
    Aborted(Answer),
}

/// The answer of the poll thread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// There are offsets to send, which cover the whole window.
    Offsets,
    /// There is nothing to commit.
    Nothing,
    /// The partitions of these deliveries are lost. Nothing is stated.
    Lost(Vec<u64>),
    /// The group has no generation to commit in, or the map has no room. Nothing is stated.
    NotNow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is no transaction.
    Idle,
    /// The call is to be made.
    Next(Step),
    /// The answer of the call has not come yet.
    Called(Step),
    /// The outputs are to be sent.
    Filled,
    /// The reports have not come yet.
    Sending,
    /// The call is to be made after a pause.
    Paused(Step),
    /// The pause is reported to the owner.
    Pausing(Step),
    /// There is no transaction before the pause is over.
    PausedIdle,
    PausingIdle,
    Ended,
}

/// The window, and the deliveries that wait for the next.
#[derive(Debug)]
pub(crate) struct Window {
    limits: Limits,
    phase: Phase,
    queue: VecDeque<Ended>,
    /// The deliveries of the transaction, in the order of sending.
    filled: Vec<Ended>,
    unreported: BTreeSet<u64>,
    failed: Vec<(u64, Failure)>,
    /// The outcome of an output is unknown. The client reports records so that it drops after another was refused.
    has_unknown: bool,
    lost: Vec<u64>,
    /// The poll thread could state nothing, which is no fault of the transaction.
    was_not_now: bool,
    /// The deliveries that a statement has covered and no transaction has committed. The next statement covers them, too.
    stated: BTreeSet<u64>,
    /// The outcome of the commit is unknown.
    in_doubt: bool,
    wants_offsets: bool,
    /// The producer sends each record in a batch of its own, since a batch was refused for its size.
    alone: bool,
    /// The same, of the producer that the next fence makes.
    next_alone: bool,
    aborts: u32,
    repeats: u32,
    is_stopped: bool,
    ends: Vec<(u64, Ending)>,
    committed: bool,
}

impl Window {
    /// Makes a window without a producer, whose first step is [`Step::Fence`].
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            limits,
            phase: Phase::Next(Step::Fence),
            queue: VecDeque::new(),
            filled: Vec::new(),
            unreported: BTreeSet::new(),
            failed: Vec::new(),
            has_unknown: false,
            lost: Vec::new(),
            was_not_now: false,
            stated: BTreeSet::new(),
            in_doubt: false,
            wants_offsets: false,
            alone: false,
            next_alone: false,
            aborts: 0,
            repeats: 0,
            is_stopped: false,
            ends: Vec::new(),
            committed: false,
        }
    }

    /// Returns the deliveries of the transaction: their numbers and input records.
    pub(crate) fn covers(&self) -> Vec<(u64, RecordId)> {
        let filled = self.filled.iter();
        filled.map(|ended| (ended.number, ended.id)).collect()
    }

    /// Takes the next action.
    pub(crate) fn next_action(&mut self) -> Action {
        if self.committed || !self.ends.is_empty() {
            return Action::Finish {
                ends: std::mem::take(&mut self.ends),
                is_committed: std::mem::take(&mut self.committed),
            };
        }
        match self.phase {
            Phase::Idle if self.is_stopped => self.end(),
            Phase::Idle if !self.queue.is_empty() || self.wants_offsets => self.call(Step::Begin),
            Phase::Next(Step::Fence | Step::ReadBack) if self.is_stopped => self.end(),
            Phase::Next(step) => self.call(step),
            Phase::Filled => {
                self.phase = Phase::Sending;
                Action::Send(self.filled.iter().map(|ended| ended.number).collect())
            }
            Phase::Paused(_) | Phase::PausedIdle if self.is_stopped => self.end(),
            Phase::Paused(step) => {
                self.phase = Phase::Pausing(step);
                Action::Pause
            }
            Phase::PausedIdle => {
                self.phase = Phase::PausingIdle;
                Action::Pause
            }
            Phase::Pausing(_) | Phase::PausingIdle if self.is_stopped => self.end(),
            Phase::Ended => Action::End,
            Phase::Idle
            | Phase::Called(_)
            | Phase::Sending
            | Phase::Pausing(_)
            | Phase::PausingIdle => Action::Wait,
        }
    }

    /// Applies an event. An answer to another step than the last is ignored.
    pub(crate) fn handle(&mut self, event: Event) {
        match (event, self.phase) {
            (Event::HandedIn(ended), _) => self.queue.push_back(ended),
            (Event::OffsetsWanted, _) => self.wants_offsets = true,
            (Event::Stopped, _) => self.stop(),
            (Event::Paused, Phase::Pausing(step)) => self.phase = Phase::Next(step),
            (Event::Paused, Phase::PausingIdle) => self.phase = Phase::Idle,
            (Event::Fenced(answer), Phase::Called(Step::Fence)) => self.note_fenced(answer),
            (Event::ReadBack(outcome), Phase::Called(Step::ReadBack)) => self.resolve(outcome),
            (Event::Begun(answer), Phase::Called(Step::Begin)) => match answer {
                Answer::Done | Answer::DoneDoubtfully if self.is_stopped => {
                    self.phase = Phase::Next(Step::Abort);
                }
                Answer::Done | Answer::DoneDoubtfully => self.fill(),
                _ => self.give_up(),
            },
            (Event::Reported(number), Phase::Sending) => self.note_report(number),
            (Event::Failed(_, Failure::Unknown), Phase::Sending) => self.has_unknown = true,
            // Such a report may come late, as during the abort.
            (Event::Failed(number, failure @ (Failure::Size | Failure::Refused)), _)
                if self.filled.iter().any(|ended| ended.number == number) =>
            {
                self.failed.push((number, failure));
            }
            (Event::GaveReportsUp, Phase::Sending) => self.phase = Phase::Next(Step::Abort),
            (Event::Stated(statement), Phase::Called(Step::State)) => self.take(statement),
            (Event::OffsetsSent(answer), Phase::Called(Step::SendOffsets)) => match answer {
                Answer::Done | Answer::DoneDoubtfully => self.phase = Phase::Next(Step::Commit),
                Answer::Again => self.repeat(Step::SendOffsets),
                Answer::Abort => self.phase = Phase::Next(Step::Abort),
                Answer::GiveUp => self.give_up(),
            },
            (Event::Committed(answer), Phase::Called(Step::Commit)) => self.note_commit(answer),
            (Event::Aborted(answer), Phase::Called(Step::Abort)) => self.note_abort(answer),
            _ => {}
        }
    }

    fn call(&mut self, step: Step) -> Action {
        if step == Step::Fence {
            self.next_alone = self.is_vague();
        }
        self.phase = Phase::Called(step);
        Action::Call(step)
    }

    /// Ends. Deliveries that are left are lost with the partitions.
    fn end(&mut self) -> Action {
        self.phase = Phase::Ended;
        let left = self.filled.drain(..).chain(self.queue.drain(..));
        let ends: Vec<_> = left.map(|ended| (ended.number, Ending::Lost)).collect();
        match ends.is_empty() {
            true => Action::End,
            false => Action::Finish {
                ends,
                is_committed: false,
            },
        }
    }

    fn stop(&mut self) {
        self.is_stopped = true;
        self.phase = match self.phase {
            // The poll thread does not answer any more.
            Phase::Called(Step::State) | Phase::Sending | Phase::Filled => Phase::Next(Step::Abort),
            Phase::Called(Step::ReadBack | Step::Fence) => Phase::Next(Step::Fence),
            Phase::Next(Step::State | Step::SendOffsets | Step::Commit) => Phase::Next(Step::Abort),
            other => other,
        };
    }

    fn note_fenced(&mut self, answer: Answer) {
        if !matches!(answer, Answer::Done | Answer::DoneDoubtfully) {
            self.phase = Phase::Paused(Step::Fence);
            return;
        }
        self.phase = match self.in_doubt {
            true => Phase::Next(Step::ReadBack),
            false => {
                self.aborts = 0;
                self.requeue();
                Phase::Idle
            }
        };
        self.alone = self.next_alone;
    }

    /// Says whether a batch was refused for its size, so that each of its records has to be tried in a batch of its own.
    fn is_vague(&self) -> bool {
        !self.alone && self.failed.iter().any(|(_, why)| *why == Failure::Size)
    }

    /// Says whether the producer that the fence makes sends each record in a batch of its own.
    pub(crate) const fn is_next_alone(&self) -> bool {
        self.next_alone
    }

    /// Takes the outcome of a commit that was in doubt. The new producer has fenced the one before, so that it stays so.
    fn resolve(&mut self, outcome: Option<bool>) {
        let Some(is_committed) = outcome else {
            self.phase = Phase::Paused(Step::ReadBack);
            return;
        };
        self.in_doubt = false;
        match is_committed {
            true => self.settle(),
            false => self.requeue(),
        }
        self.phase = Phase::Idle;
    }

    /// Takes deliveries from the queue, in order, up to the limits; at least one. All that were stated are taken, since the next
    /// statement covers them.
    fn fill(&mut self) {
        let (mut records, mut bytes) = (0, 0);
        let mut partitions = BTreeSet::new();
        while let Some(next) = self.queue.front() {
            let is_new = !partitions.contains(&next.id.assignment);
            let fits = records + next.records <= self.limits.records
                && bytes + next.bytes <= self.limits.bytes
                && partitions.len() + usize::from(is_new) <= self.limits.partitions;
            if !fits && !self.filled.is_empty() && !self.stated.contains(&next.number) {
                break;
            }
            records += next.records;
            bytes += next.bytes;
            partitions.insert(next.id.assignment);
            self.filled.push(*next);
            self.queue.pop_front();
        }
        self.wants_offsets = false;
        self.failed.clear();
        self.has_unknown = false;
        self.lost.clear();
        let with_outputs = self.filled.iter().filter(|ended| ended.records > 0);
        self.unreported = with_outputs.map(|ended| ended.number).collect();
        self.phase = match self.unreported.is_empty() {
            true => Phase::Next(Step::State),
            false => Phase::Filled,
        };
    }

    fn note_report(&mut self, number: u64) {
        if self.unreported.remove(&number) && self.unreported.is_empty() {
            self.phase = match self.has_unpublished() {
                false => Phase::Next(Step::State),
                true => Phase::Next(Step::Abort),
            };
        }
    }

    fn has_unpublished(&self) -> bool {
        self.has_unknown || !self.failed.is_empty()
    }

    /// Says whether an output of the transaction is not published, so that the other reports may not come.
    pub(crate) fn awaits_last_reports(&self) -> bool {
        self.phase == Phase::Sending && self.has_unpublished()
    }

    fn take(&mut self, statement: Statement) {
        self.phase = match statement {
            Statement::Offsets => {
                self.stated
                    .extend(self.filled.iter().map(|ended| ended.number));
                Phase::Next(Step::SendOffsets)
            }
            Statement::Lost(numbers) => {
                self.lost = numbers;
                Phase::Next(Step::Abort)
            }
            Statement::Nothing if self.filled.is_empty() => Phase::Next(Step::Commit),
            // The member does not hold these records any more.
            Statement::Nothing => {
                self.lost = self.filled.iter().map(|ended| ended.number).collect();
                Phase::Next(Step::Abort)
            }
            Statement::NotNow => {
                self.was_not_now = true;
                Phase::Next(Step::Abort)
            }
        };
    }

    fn repeat(&mut self, step: Step) {
        self.repeats += 1;
        self.phase = match self.repeats < REPEATS {
            true => Phase::Next(step),
            false => Phase::Next(Step::Abort),
        };
    }

    fn note_commit(&mut self, answer: Answer) {
        match answer {
            Answer::Done => {
                self.phase = match self.alone {
                    true => Phase::Next(Step::Fence),
                    false => Phase::Idle,
                };
                self.settle();
            }
            // The repeated request could commit the next transaction.
            Answer::DoneDoubtfully => {
                self.settle();
                self.phase = Phase::Next(Step::Fence);
            }
            Answer::Abort => self.phase = Phase::Next(Step::Abort),
            // A request that timed out may still arrive, so that the call is not repeated.
            Answer::Again | Answer::GiveUp => {
                self.in_doubt = !self.filled.is_empty();
                self.phase = Phase::Paused(Step::Fence);
            }
        }
    }

    fn note_abort(&mut self, answer: Answer) {
        let is_refusal = !self.failed.is_empty() || !self.lost.is_empty();
        match std::mem::take(&mut self.was_not_now) || is_refusal {
            true => self.aborts = 0,
            false => self.aborts += 1,
        }
        match answer {
            // After a record that was not published, the client and the broker count the records of its partition differently:
            // the broker refuses those of the next transaction, and the client reports them after `message.timeout.ms`.
            _ if !self.failed.is_empty() => self.phase = Phase::Next(Step::Fence),
            _ if self.has_unknown => self.give_up(),
            Answer::Done if self.aborts < ABORTS => {
                self.requeue();
                self.phase = match is_refusal {
                    true => Phase::Idle,
                    false => Phase::PausedIdle,
                };
            }
            // The next fence aborts the transaction, whatever became of this call.
            _ => self.give_up(),
        }
    }

    /// Gives the producer up before a commit was tried, so that the next fence aborts its transaction.
    fn give_up(&mut self) {
        self.phase = Phase::Paused(Step::Fence);
    }

    /// Ends the deliveries of a committed transaction.
    fn settle(&mut self) {
        let filled = self.filled.drain(..);
        self.ends
            .extend(filled.map(|ended| (ended.number, Ending::Settled)));
        self.stated.clear();
        self.committed = true;
        self.aborts = 0;
        self.repeats = 0;
    }

    /// Puts the deliveries of an aborted transaction back to the front of the queue, and ends those that are lost or refused.
    fn requeue(&mut self) {
        self.repeats = 0;
        let is_vague = self.is_vague();
        for ended in self.filled.drain(..).rev() {
            let number = ended.number;
            let is_refused = !is_vague && self.failed.iter().any(|(failed, _)| *failed == number);
            if !is_refused && !self.lost.contains(&number) {
                self.queue.push_front(ended);
                continue;
            }
            let was_stated = self.stated.remove(&number);
            let end = match (is_refused, was_stated) {
                (true, true) => Ending::Broken,
                (true, false) => Ending::Refused,
                (false, _) => Ending::Lost,
            };
            self.ends.push((number, end));
        }
        self.ends.reverse();
        self.failed.clear();
        self.has_unknown = false;
        self.lost.clear();
        self.unreported.clear();
    }
}

#[cfg(test)]
mod tests;
