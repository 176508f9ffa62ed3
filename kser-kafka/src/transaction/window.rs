//! The window of a member: a batch of ended deliveries whose outputs and offsets become visible by one transaction.
//!
//! Pure: no client, no clock, no thread. The owner carries out each [`Action`], and reports its end as an [`Event`].

use std::collections::{BTreeSet, VecDeque};

use crate::channel::RecordId;

/// The number of transactions in a row that are aborted before the producer is given up.
const ABORTS: u32 = 2;
/// The number of calls in a row that may ask to be repeated before the transaction is aborted.
const REPEATS: u32 = 5;
/// The number of refused records that the window remembers until their substitutes are handed in.
const REFUSED: usize = 1000;

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
    /// The broker refuses a batch, which may be for another record of it.
    Batch,
    /// The broker refuses the record.
    Refused,
    /// The outcome is unknown, as after a timeout.
    Unknown,
    /// The client has dropped the record before it was sent, since the transaction is aborted.
    Unsent,
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
    /// The reports have not come yet, or the offsets are not sent: see [`Offsets`].
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

/// The offsets of a transaction, which are stated and sent while the reports of its outputs are awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offsets {
    /// The poll thread is to be asked.
    Unstated,
    Asked,
    Stated,
    /// The call has not returned yet.
    Called,
    /// They are sent, or there are none.
    Sent,
    /// The transaction has to be aborted once the reports are there.
    Failed,
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
    offsets: Offsets,
    failed: Vec<(u64, Failure)>,
    /// The outcome of an output is unknown. The client reports records so that it drops after another was refused.
    has_unknown: bool,
    lost: Vec<u64>,
    /// The poll thread could state nothing, which is no fault of the transaction.
    was_not_now: bool,
    /// The records whose outputs were refused. The outputs that follow for them, such as dead letters, have a window of their own.
    refused: BTreeSet<RecordId>,
    /// The deliveries in the queue that have a window of their own.
    lone: BTreeSet<u64>,
    /// The outcome of the commit is unknown.
    in_doubt: bool,
    wants_offsets: bool,
    /// The producer sends each record in a batch of its own, since a batch was refused.
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
            offsets: Offsets::Unstated,
            failed: Vec::new(),
            has_unknown: false,
            lost: Vec::new(),
            was_not_now: false,
            refused: BTreeSet::new(),
            lone: BTreeSet::new(),
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
            Phase::Sending => self.state_or_send_offsets(),
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
            Phase::Idle | Phase::Called(_) | Phase::Pausing(_) | Phase::PausingIdle => Action::Wait,
        }
    }

    /// Applies an event. An answer to another step than the last is ignored.
    pub(crate) fn handle(&mut self, event: Event) {
        match (event, self.phase) {
            (Event::HandedIn(ended), _) => self.enqueue(ended),
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
            (Event::Failed(_, Failure::Unknown | Failure::Unsent), Phase::Sending)
            | (Event::Failed(_, Failure::Unknown), Phase::Called(Step::Abort)) => {
                self.has_unknown = true;
            }
            // Such a report may come late, as during the abort.
            (Event::Failed(number, failure @ (Failure::Batch | Failure::Refused)), _)
                if self.filled.iter().any(|ended| ended.number == number) =>
            {
                self.failed.push((number, failure));
            }
            (Event::GaveReportsUp, Phase::Sending) => {
                self.unreported.clear();
                self.proceed();
            }
            (Event::Stated(statement), Phase::Sending) => self.take(statement),
            (Event::OffsetsSent(answer), Phase::Sending) => self.note_offsets(answer),
            (Event::Committed(answer), Phase::Called(Step::Commit)) => self.note_commit(answer),
            (Event::Aborted(answer), Phase::Called(Step::Abort)) => self.note_abort(answer),
            _ => {}
        }
    }

    /// Adds a delivery to the queue. The outputs in place of refused ones may be refused, too, and then abort no other delivery.
    fn enqueue(&mut self, ended: Ended) {
        if self.refused.remove(&ended.id) {
            self.lone.insert(ended.number);
        }
        self.queue.push_back(ended);
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
            Phase::Sending | Phase::Filled | Phase::Next(Step::Commit) => Phase::Next(Step::Abort),
            Phase::Called(Step::ReadBack | Step::Fence) => Phase::Next(Step::Fence),
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

    /// Says whether a batch of several records was refused, so that each of them has to be tried in a batch of its own.
    fn is_vague(&self) -> bool {
        let is_one = self.filled.iter().map(|ended| ended.records).sum::<usize>() == 1;
        !self.alone && !is_one && self.failed.iter().any(|(_, why)| *why == Failure::Batch)
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

    /// Takes deliveries from the queue, in order, up to the limits; at least one. A delivery whose outputs were refused before is
    /// taken alone.
    fn fill(&mut self) {
        let (mut records, mut bytes) = (0, 0);
        let mut partitions = BTreeSet::new();
        while let Some(next) = self.queue.front() {
            let is_new = !partitions.contains(&next.id.assignment);
            let is_lone = self.lone.contains(&next.number);
            let fits = !is_lone
                && records + next.records <= self.limits.records
                && bytes + next.bytes <= self.limits.bytes
                && partitions.len() + usize::from(is_new) <= self.limits.partitions;
            if !fits && !self.filled.is_empty() {
                break;
            }
            records += next.records;
            bytes += next.bytes;
            partitions.insert(next.id.assignment);
            self.filled.push(*next);
            self.queue.pop_front();
            if is_lone {
                break;
            }
        }
        self.wants_offsets = false;
        self.failed.clear();
        self.has_unknown = false;
        self.lost.clear();
        let with_outputs = self.filled.iter().filter(|ended| ended.records > 0);
        self.unreported = with_outputs.map(|ended| ended.number).collect();
        self.offsets = Offsets::Unstated;
        self.phase = match self.unreported.is_empty() {
            true => Phase::Sending,
            false => Phase::Filled,
        };
    }

    /// Has the offsets stated, and then sent, while the reports are awaited. A transaction that will be aborted needs none.
    fn state_or_send_offsets(&mut self) -> Action {
        let (next, step) = match self.offsets {
            Offsets::Unstated => (Offsets::Asked, Step::State),
            Offsets::Stated if !self.has_unpublished() => (Offsets::Called, Step::SendOffsets),
            _ => return Action::Wait,
        };
        self.offsets = next;
        Action::Call(step)
    }

    fn note_report(&mut self, number: u64) {
        if self.unreported.remove(&number) {
            self.proceed();
        }
    }

    /// Goes on once all outputs are reported, and the poll thread and the producer have answered for the offsets.
    fn proceed(&mut self) {
        if !self.unreported.is_empty() {
            return;
        }
        let has_unpublished = self.has_unpublished();
        self.phase = match self.offsets {
            Offsets::Sent if !has_unpublished => Phase::Next(Step::Commit),
            Offsets::Sent | Offsets::Failed => Phase::Next(Step::Abort),
            Offsets::Unstated | Offsets::Stated if has_unpublished => Phase::Next(Step::Abort),
            // One call at a time.
            Offsets::Unstated | Offsets::Asked | Offsets::Stated | Offsets::Called => {
                Phase::Sending
            }
        };
    }

    fn has_unpublished(&self) -> bool {
        self.has_unknown || !self.failed.is_empty()
    }

    /// Says whether an output of the transaction is not published, so that the other reports may not come.
    pub(crate) fn awaits_last_reports(&self) -> bool {
        self.phase == Phase::Sending && !self.unreported.is_empty() && self.has_unpublished()
    }

    fn take(&mut self, statement: Statement) {
        self.offsets = match statement {
            Statement::Offsets => Offsets::Stated,
            Statement::Nothing if self.filled.is_empty() => Offsets::Sent,
            Statement::Lost(numbers) => {
                self.lost = numbers;
                Offsets::Failed
            }
            // The member does not hold these records any more.
            Statement::Nothing => {
                self.lost = self.filled.iter().map(|ended| ended.number).collect();
                Offsets::Failed
            }
            Statement::NotNow => {
                self.was_not_now = true;
                Offsets::Failed
            }
        };
        self.proceed();
    }

    fn note_offsets(&mut self, answer: Answer) {
        self.offsets = match answer {
            Answer::Done | Answer::DoneDoubtfully => Offsets::Sent,
            Answer::Again if self.repeats + 1 < REPEATS => {
                self.repeats += 1;
                Offsets::Stated
            }
            // The client does not send the records that are left. It reports all before the abort returns.
            Answer::Again | Answer::Abort => return self.phase = Phase::Next(Step::Abort),
            Answer::GiveUp => return self.give_up(),
        };
        self.proceed();
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
        for ended in self.filled.drain(..) {
            self.lone.remove(&ended.number);
            self.ends.push((ended.number, Ending::Settled));
        }
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
            self.lone.remove(&number);
            let end = match is_refused {
                true => Ending::Refused,
                false => Ending::Lost,
            };
            if is_refused {
                self.refused.insert(ended.id);
            }
            self.ends.push((number, end));
        }
        // Records that were released, or lost with their partitions, are not handed in again.
        while self.refused.len() > REFUSED {
            self.refused.pop_first();
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
