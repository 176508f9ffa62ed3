//! The calls of a transactional producer, each on the thread of its producer: `send_offsets_to_transaction` may hang for ever
//! when the coordinator of the group dies, and then the thread and the producer are left behind.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use kser_core::{Error, Topic};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::Producer;

use super::link::{StatedOffsets, ThreadEvent};
use super::window::{Answer, Step};
use crate::error::{failed, no_thread};
use crate::producer::ProducerClient;

/// The timeout of a call, where the client keeps it.
const CALL: Duration = Duration::from_secs(10);
/// The timeout of an abort. A producer whose transaction is not aborted by then is given up, which aborts it, too.
const ABORT: Duration = Duration::from_secs(2);
/// The age from which on the thread looks a transaction up before it commits it: an operator aborts a transaction that stays open.
const OLD: Duration = Duration::from_secs(1);
/// The timeout of reading the metadata of a topic, or the end of a log.
const LEARN: Duration = Duration::from_secs(5);

/// A call of the producer.
#[derive(Debug)]
pub(super) enum Call {
    Init,
    /// Begin a transaction, after the metadata of topics that were missing is read again.
    Begin(Vec<Topic>),
    SendOffsets(Arc<StatedOffsets>),
    /// Commit a transaction whose first output was sent at this time, and begin the next one, of which the brokers learn with its
    /// first output.
    Commit(Instant),
    Abort,
}

/// A producer, and the thread that makes its calls.
pub(super) struct ProducerCalls {
    pub(super) producer: Arc<ProducerClient>,
    calls: mpsc::Sender<Call>,
}

impl ProducerCalls {
    /// Starts the thread. Answers carry the number of the producer.
    pub(super) fn start(
        producer: Arc<ProducerClient>,
        number: u64,
        answers: mpsc::Sender<ThreadEvent>,
    ) -> Result<Self, Error> {
        let (calls, received) = mpsc::channel::<Call>();
        let of_thread = Arc::clone(&producer);
        let run = move || {
            let mut has_begun = false;
            while let Ok(call) = received.recv() {
                let is_begun = std::mem::take(&mut has_begun);
                let (step, answer, error) = match call {
                    Call::Begin(missing) => {
                        learn(&of_thread, missing);
                        match is_begun {
                            true => (Step::Begin, Answer::Done, None),
                            false => begin(&of_thread),
                        }
                    }
                    Call::Commit(sent) if sent.elapsed() >= OLD => {
                        match ended_by_another(&of_thread) {
                            Some(error) => (Step::Commit, Answer::Abort, Some(error)),
                            None => make(&of_thread, call),
                        }
                    }
                    call => make(&of_thread, call),
                };
                let is_committed = (step, answer) == (Step::Commit, Answer::Done);
                let answered = ThreadEvent::Answered {
                    producer: number,
                    step,
                    answer,
                    error,
                };
                if answers.send(answered).is_err() {
                    return;
                }
                if is_committed {
                    // Otherwise the next call to begin tells the error.
                    has_begun = begin(&of_thread).1 == Answer::Done;
                    if has_begun {
                        let _ = answers.send(ThreadEvent::BegunAhead { producer: number });
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("kser-kafka-calls".to_owned());
        thread.spawn(run).map_err(no_thread)?;
        Ok(Self { producer, calls })
    }

    pub(super) fn call(&self, call: Call) {
        let _ = self.calls.send(call);
    }
}

/// Looks for partitions in which the transaction is not open any more, since another program has ended it there: its records are
/// aborted, and its coordinator, which does not know that, would commit the others. While it is open, readers of committed records
/// do not get past its first record.
fn ended_by_another(producer: &ProducerClient) -> Option<Error> {
    for (topic, partitions) in producer.context().take_first_offsets() {
        for (partition, first) in partitions {
            let client = producer.client();
            match client.fetch_watermarks(&topic, partition, LEARN) {
                Ok((_, stable)) if stable <= first => {}
                Ok((_, stable)) => {
                    tracing::error!(
                        target: "kser_kafka",
                        topic, partition, offset = first, stable,
                        "committing a transaction failed: another program has aborted it in {topic} [{partition}]; its records \
                         are sent again",
                    );
                    let what = format!("committing a transaction that is aborted in {topic}");
                    return Some(failed(what, None, KafkaError::Canceled));
                }
                Err(error) => {
                    let what = format!("looking up a transaction in {topic} before its commit");
                    return Some(failed(what, None, error));
                }
            }
        }
    }
    None
}

/// Reads the metadata of topics that were missing.
fn learn(producer: &ProducerClient, missing: Vec<Topic>) {
    for topic in missing {
        // A topic that is still missing fails when it is sent to.
        let _ = producer
            .client()
            .fetch_metadata(Some(topic.as_str()), LEARN);
    }
}

fn begin(producer: &ProducerClient) -> (Step, Answer, Option<Error>) {
    let _ = producer.context().take_first_offsets();
    make(producer, Call::Begin(Vec::new()))
}

fn make(producer: &ProducerClient, call: Call) -> (Step, Answer, Option<Error>) {
    let before = producer.context().n_disconnects();
    let (step, what, result) = match call {
        Call::Init => {
            let result = producer.init_transactions(CALL);
            (Step::Fence, "starting transactions", result)
        }
        Call::Begin(_) => {
            let result = producer.begin_transaction();
            (Step::Begin, "beginning a transaction", result)
        }
        Call::SendOffsets(stated) => {
            let result =
                producer.send_offsets_to_transaction(&stated.offsets, &stated.metadata, CALL);
            (Step::SendOffsets, "sending the offsets", result)
        }
        Call::Commit(_) => {
            // Otherwise the client waits for up to 100 ms, although all records are reported.
            while producer.in_flight_count() > 0 {
                thread::yield_now();
            }
            let result = producer.commit_transaction(CALL);
            (Step::Commit, "committing a transaction", result)
        }
        Call::Abort => {
            let result = producer.abort_transaction(ABORT);
            (Step::Abort, "aborting a transaction", result)
        }
    };
    // Serves the errors of connections that the client has met meanwhile.
    producer.poll(Duration::ZERO);
    let is_doubtful = producer.context().n_disconnects() != before;
    let answer = match (answer(&result), is_doubtful) {
        (Answer::Done, true) => Answer::DoneDoubtfully,
        (answer, _) => answer,
    };
    (
        step,
        answer,
        result.err().map(|error| failed(what, None, error)),
    )
}

fn answer(result: &KafkaResult<()>) -> Answer {
    match result {
        Ok(()) => Answer::Done,
        Err(KafkaError::Transaction(error)) if error.is_fatal() => Answer::GiveUp,
        Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => Answer::Abort,
        Err(KafkaError::Transaction(error)) if error.is_retriable() => Answer::Again,
        Err(_) => Answer::GiveUp,
    }
}

/// Says whether an error is a right that the program does not have, or a version that the brokers do not have.
pub(super) fn is_refusal(error: &Error) -> bool {
    !error.is_temporary()
}

/// Says whether the offsets were larger than the brokers allow: the metadata of a partition, or all of them together, to which brokers
/// answer with an unknown error.
pub(super) fn is_too_long(error: &Error) -> bool {
    matches!(
        code_of(error),
        Some(
            RDKafkaErrorCode::OffsetMetadataTooLarge
                | RDKafkaErrorCode::InvalidCommitOffsetSize
                | RDKafkaErrorCode::Unknown
        )
    )
}

/// Says whether another producer with the same transactional id has taken the place of this one.
pub(super) fn is_fenced(error: &Error) -> bool {
    matches!(
        code_of(error),
        Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)
    )
}

fn code_of(error: &Error) -> Option<RDKafkaErrorCode> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(KafkaError::Transaction(error)) = error.downcast_ref::<KafkaError>() {
            return Some(error.code());
        }
        source = error.source();
    }
    None
}
