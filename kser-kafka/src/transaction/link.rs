use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use kser_core::{EndedDelivery, Error, NotPublished, Record};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::oneshot;

use super::window::{Answer, Event, Failure, Statement, Step};
use crate::channel::{PollChannel, RecordId};
use crate::commit::CommitEntry;
use crate::error::client_code;

/// The state that the transaction thread of a member shares with its poll thread and its tickets.
#[derive(Debug)]
pub(crate) struct TransactionLink {
    pub(crate) channel: Arc<PollChannel>,
    pub(super) events: mpsc::Sender<ThreadEvent>,
    requests: Mutex<VecDeque<PollRequest>>,
    next: AtomicU64,
    /// Set while the thread knows of changes to commit and has not asked for a statement since.
    wants_offsets: AtomicBool,
    /// The smallest limit of the topics of the outputs, in bytes. The batches of the producer must fit.
    batch_bytes: AtomicUsize,
    /// The poll thread has stated changes for the open transaction.
    is_stated: AtomicBool,
    /// The entries of the last statement.
    pub(super) stated: Mutex<Vec<CommitEntry>>,
    /// The reason why the last transaction failed.
    failing: Mutex<Option<String>>,
}

/// The owner of a transaction thread, which ends with it.
#[derive(Debug)]
pub(crate) struct TransactionOwner(pub(crate) Arc<TransactionLink>);

impl Drop for TransactionOwner {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// An event for the transaction thread.
#[derive(Debug)]
pub(super) enum ThreadEvent {
    HandedIn(u64, EndedRecord),
    Window(Event),
    /// An output of a delivery failed, by the number of the attempt, the number of the delivery and the position of the output.
    Failed {
        attempt: u64,
        number: u64,
        position: usize,
        error: Error,
    },
    /// All outputs of a delivery are reported, by the number of the attempt.
    Reported {
        attempt: u64,
        number: u64,
    },
    /// The answer to a call, by the number of the producer.
    Answered {
        producer: u64,
        step: Step,
        answer: Answer,
        error: Option<Error>,
    },
    /// The producer has begun a transaction after it has committed one.
    BegunAhead {
        producer: u64,
    },
    Stated(Statement, Option<Arc<StatedOffsets>>),
}

/// The offsets of a statement, with the metadata of the group that was taken before them.
pub(super) struct StatedOffsets {
    pub(super) offsets: TopicPartitionList,
    pub(super) metadata: ConsumerGroupMetadata,
}

impl fmt::Debug for StatedOffsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatedOffsets")
            .field("offsets", &self.offsets)
            .finish_non_exhaustive()
    }
}

/// A request of the transaction thread to the poll thread.
#[derive(Debug)]
pub(super) enum PollRequest {
    /// State the offsets and maps as if these records were done. `too_long`: the last statement was too large for the broker.
    State {
        covers: Vec<(u64, RecordId)>,
        too_long: bool,
    },
    /// Read the committed offsets back, and compare them with the last statement.
    ReadBack,
    /// The last statement is committed, which covers these records.
    Committed(Vec<RecordId>),
}

/// An ended delivery, or a delayed record that is due, with its outputs.
#[derive(Debug)]
pub(crate) struct EndedRecord {
    pub(crate) id: RecordId,
    pub(crate) outputs: Arc<[Record]>,
    pub(crate) answers: Answers,
}

/// The receiver of the result of a delivery.
#[derive(Debug)]
pub(crate) enum Answers {
    HandIn(EndedDelivery),
    Settle(oneshot::Sender<Result<(), Error>>),
    /// The member forwards a delayed record.
    Forward,
}

impl TransactionLink {
    pub(super) fn new(channel: Arc<PollChannel>, events: mpsc::Sender<ThreadEvent>) -> Self {
        Self {
            channel,
            events,
            requests: Mutex::default(),
            next: AtomicU64::new(0),
            wants_offsets: AtomicBool::new(false),
            batch_bytes: AtomicUsize::new(usize::MAX),
            is_stated: AtomicBool::new(false),
            stated: Mutex::default(),
            failing: Mutex::default(),
        }
    }

    /// Adds an ended delivery to the next window. After the thread has ended it is lost.
    pub(crate) fn hand_in(&self, ended: EndedRecord) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let sent = self.events.send(ThreadEvent::HandedIn(number, ended));
        if let Err(mpsc::SendError(ThreadEvent::HandedIn(_, ended))) = sent {
            ended.finish(Ok(false), &self.channel);
        }
    }

    /// Bounds the batches of later windows by the limit of a topic, in bytes.
    pub(crate) fn bound_batches(&self, limit: Option<usize>) {
        if let Some(limit) = limit
            && limit < self.batch_bytes()
        {
            self.batch_bytes.fetch_min(limit, Ordering::AcqRel);
        }
    }

    pub(super) fn batch_bytes(&self) -> usize {
        self.batch_bytes.load(Ordering::Acquire)
    }

    /// Has the next window commit the changes of the poll thread.
    pub(crate) fn want_offsets(&self) {
        if !self.wants_offsets.swap(true, Ordering::AcqRel) {
            let _ = self.events.send(ThreadEvent::Window(Event::OffsetsWanted));
        }
    }

    /// Says whether a statement is neither committed nor aborted yet. Until then the changes of the poll thread are unconfirmed, so
    /// that it does not know whether the next window would have any.
    pub(crate) fn is_stated(&self) -> bool {
        self.is_stated.load(Ordering::Acquire)
    }

    pub(super) fn set_stated(&self, is_stated: bool) {
        self.is_stated.store(is_stated, Ordering::Release);
    }

    /// Ends the transaction thread. The deliveries that are left are lost.
    fn stop(&self) {
        let _ = self.events.send(ThreadEvent::Window(Event::Stopped));
    }

    pub(super) fn ask(&self, request: PollRequest) {
        if matches!(request, PollRequest::State { .. }) {
            self.wants_offsets.store(false, Ordering::Release);
        }
        lock(&self.requests).push_back(request);
        self.channel.wakeup.wake();
    }

    pub(super) fn take_request(&self) -> Option<PollRequest> {
        lock(&self.requests).pop_front()
    }

    pub(super) fn answer(&self, event: ThreadEvent) {
        let _ = self.events.send(event);
    }

    /// Returns the reason why the last transaction failed, if it did.
    pub(crate) fn failure_reason(&self) -> Option<String> {
        lock(&self.failing).clone()
    }

    pub(super) fn set_failing(&self, reason: Option<String>) {
        *lock(&self.failing) = reason;
    }
}

impl EndedRecord {
    /// Tells the result: whether the delivery is settled rather than lost, or the outputs that are not published.
    pub(super) fn finish(self, result: Result<bool, NotPublished>, channel: &PollChannel) {
        match (self.answers, result) {
            (Answers::HandIn(ended), Ok(true)) => ended.report_settled(),
            (Answers::HandIn(ended), Ok(false)) => ended.report_lost(),
            (Answers::HandIn(ended), Err(not)) => {
                ended.report_unpublished(self.outputs.to_vec(), not);
            }
            (Answers::Settle(answer), Ok(true)) => drop(answer.send(Ok(()))),
            (Answers::Settle(answer), Ok(false)) => drop(answer.send(Err(Error::Lost))),
            (Answers::Settle(answer), Err(source)) => {
                let _ = answer.send(Err(Error::Unpublished { source }));
            }
            (Answers::Forward, Ok(_)) => {}
            (Answers::Forward, Err(not)) => {
                if let Some((_, error)) = not.failed.into_iter().next() {
                    channel.report_unforwarded(self.id, error);
                }
            }
        }
    }
}

/// Returns the error of a delivery of which nothing is published: of the outputs that were refused, and then of the others, since the
/// first reason is the one that the caller is told.
pub(crate) fn none_published(outputs: usize, failed: Vec<(usize, Error)>) -> NotPublished {
    let refused: BTreeMap<_, _> = failed.into_iter().collect();
    let others = (0..outputs).filter(|index| !refused.contains_key(index));
    let aborted = |index| {
        let error = Error::TimedOut {
            what: "a transaction that was aborted for another record",
        };
        (index, error)
    };
    let others: Vec<_> = others.map(aborted).collect();
    NotPublished::new(refused.into_iter().chain(others).collect())
}

/// Returns the reason of a failure, for the window.
pub(super) fn reason(error: &Error) -> Failure {
    match error {
        Error::TooLargeForTopic { .. } | Error::RefusedByTopic { .. } => Failure::Batch,
        error if client_code(error) == Some(RDKafkaErrorCode::PurgeQueue) => Failure::Unsent,
        error if error.is_temporary() => Failure::Unknown,
        _ => Failure::Refused,
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
