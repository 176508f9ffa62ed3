use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use kser_core::{Error, Topic};
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use tokio::sync::oneshot;

use super::calls::{Call, ProducerCalls, is_fenced, is_refusal, is_too_long};
use super::link::{
    EndedRecord, PollRequest, StatedOffsets, ThreadEvent, TransactionLink, TransactionOwner,
    none_published, reason,
};
use super::window::{Action, Answer, Ended, Ending, Event, Failure, Limits, Step, Window};
use crate::broker_log::BrokerErrors;
use crate::channel::PollChannel;
use crate::clock::{Time, monotonic};
use crate::error::{failed, no_thread};
use crate::producer::{make_transactional_client, send_to};

/// The time for further reports after a record was not published. The client reports some records of such a transaction only after
/// `message.timeout.ms`.
const GRACE: Duration = Duration::from_millis(100);
/// The client's default of `batch.size`, in bytes.
const BATCH: usize = 1_000_000;
/// The first and the longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// The time for which transactions fail until a warning is logged, and the interval of further warnings.
const SAY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// The settings of a transaction thread.
#[derive(Debug, Clone)]
pub(crate) struct TransactionSettings {
    pub(crate) client: ClientConfig,
    pub(crate) group: String,
    /// The number of partitions in a window.
    pub(crate) partitions: usize,
    /// The time after which a call is taken for hung, so that its producer is given up.
    pub(crate) hung: Duration,
}

/// Starts the transaction thread of a member.
///
/// The second value receives the end of the first start of the producer: an error if the program has no right to it.
///
/// # Errors
///
/// If the thread cannot be started, or a setting is wrong.
pub(crate) fn start(
    settings: TransactionSettings,
    channel: &Arc<PollChannel>,
    time: Time,
) -> Result<(TransactionOwner, oneshot::Receiver<Result<(), Error>>), Error> {
    let (events, received) = mpsc::channel();
    let link = Arc::new(TransactionLink::new(Arc::clone(channel), events));
    let (answer, started) = oneshot::channel();
    let limits = Limits {
        records: 10_000,
        bytes: 16 << 20,
        partitions: settings.partitions,
    };
    let mut thread = TransactionThread {
        settings,
        time,
        link: Arc::clone(&link),
        window: Window::new(limits),
        ended: BTreeMap::new(),
        failures: BTreeMap::new(),
        calls: None,
        is_unused: true,
        has_begun: false,
        sent: monotonic(),
        batch_bytes: BATCH,
        producers: 0,
        attempt: 0,
        statement: None,
        missing: BTreeSet::new(),
        is_too_long: false,
        deadline: None,
        pauses: 0,
        started: Some(answer),
        failing: None,
    };
    // Wrong settings are found here.
    thread.make_producer()?;
    let builder = thread::Builder::new().name("kser-kafka-transactions".to_owned());
    let run = move || {
        let channel = Arc::clone(&thread.link.channel);
        let ran = catch_unwind(AssertUnwindSafe(|| thread.run(&received)));
        if ran.is_err() {
            channel.finish(failed(
                "committing transactions",
                None,
                KafkaError::Canceled,
            ));
        }
    };
    builder.spawn(run).map_err(no_thread)?;
    Ok((TransactionOwner(link), started))
}

/// The thread that owns the transactional producer of a member.
struct TransactionThread {
    settings: TransactionSettings,
    time: Time,
    link: Arc<TransactionLink>,
    window: Window,
    /// The deliveries by number.
    ended: BTreeMap<u64, EndedRecord>,
    /// The outputs of the transaction that failed, by the number of the delivery.
    failures: BTreeMap<u64, Vec<(usize, Error)>>,
    calls: Option<ProducerCalls>,
    is_unused: bool,
    /// The producer has begun the next transaction.
    has_begun: bool,
    /// The time from which on the brokers may know the transaction.
    sent: Instant,
    /// The greatest size of a batch of the producer, in bytes.
    batch_bytes: usize,
    /// The number of producers so far. Answers of earlier ones are ignored.
    producers: u64,
    /// The number of sends so far. Reports of earlier ones are ignored.
    attempt: u64,
    statement: Option<Arc<StatedOffsets>>,
    /// The topics that were missing.
    missing: BTreeSet<Topic>,
    is_too_long: bool,
    deadline: Option<(Instant, Due)>,
    /// The number of pauses since the last commit.
    pauses: u32,
    started: Option<oneshot::Sender<Result<(), Error>>>,
    /// Set while transactions fail: when to log the next warning.
    failing: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// A call has hung.
    Hung(Step),
    /// The reports are given up.
    Reports,
    Pause,
}

impl TransactionThread {
    fn run(&mut self, events: &mpsc::Receiver<ThreadEvent>) {
        loop {
            match self.window.next_action() {
                Action::Wait => self.wait(events),
                Action::Pause => {
                    let pause = PAUSE.0 * (1 << self.pauses.min(10));
                    self.pauses = self.pauses.saturating_add(1);
                    self.set_deadline(pause.min(PAUSE.1), Due::Pause);
                }
                Action::Call(step) => self.call(step),
                Action::Send(numbers) => self.send(&numbers),
                Action::Finish { ends, is_committed } => self.finish(ends, is_committed),
                Action::End => break,
            }
        }
        // Later deliveries get their answer where they are handed in.
        while let Ok(event) = events.try_recv() {
            if let ThreadEvent::HandedIn(_, ended) = event {
                ended.finish(Ok(false), &self.link.channel);
            }
        }
    }

    fn set_deadline(&mut self, after: Duration, due: Due) {
        self.deadline = Some((monotonic() + after, due));
    }

    /// Waits for the next event, or for the deadline, and applies it. All events that are there are applied at once.
    fn wait(&mut self, events: &mpsc::Receiver<ThreadEvent>) {
        if self.window.awaits_last_reports() && self.deadline.is_none() {
            self.set_deadline(GRACE, Due::Reports);
        }
        let event = match self.deadline {
            None => events.recv().ok(),
            Some((until, due)) => {
                let left = until.saturating_duration_since(monotonic());
                match events.recv_timeout(left) {
                    Ok(event) => Some(event),
                    Err(_) => {
                        self.deadline = None;
                        return self.handle_due(due);
                    }
                }
            }
        };
        // The link of this thread keeps the channel open.
        let Some(event) = event else { return };
        self.apply(event);
        while let Ok(event) = events.try_recv() {
            self.apply(event);
        }
    }

    fn handle_due(&mut self, due: Due) {
        match due {
            Due::Pause => self.window.handle(Event::Paused),
            Due::Reports => self.window.handle(Event::GaveReportsUp),
            Due::Hung(step) => {
                let group = &self.settings.group;
                tracing::error!(
                    target: "kser_kafka",
                    group, ?step,
                    "a call of the transactional producer of group {group} does not return; the producer is left behind, and another one takes its place",
                );
                // Its thread keeps it.
                self.calls = None;
                self.answer(step, Answer::GiveUp);
            }
        }
    }

    fn apply(&mut self, event: ThreadEvent) {
        match event {
            ThreadEvent::HandedIn(number, ended) => {
                let outputs = ended.outputs.iter();
                let handed_in = Ended {
                    number,
                    id: ended.id,
                    records: outputs.len(),
                    bytes: outputs.map(kser_core::Record::size).sum(),
                };
                self.ended.insert(number, ended);
                self.window.handle(Event::HandedIn(handed_in));
            }
            ThreadEvent::Window(event) => self.window.handle(event),
            ThreadEvent::Stated(statement, offsets) => {
                tracing::trace!(target: "kser_kafka", group = self.settings.group, ?statement, "the poll thread has stated the offsets");
                self.statement = offsets;
                self.window.handle(Event::Stated(statement));
            }
            ThreadEvent::Failed {
                attempt,
                number,
                position,
                error,
            } if attempt == self.attempt => self.note_failed_output(number, position, error),
            ThreadEvent::Reported { attempt, number } if attempt == self.attempt => {
                tracing::trace!(target: "kser_kafka", group = self.settings.group, number, "the outputs of a delivery are reported");
                self.window.handle(Event::Reported(number));
            }
            ThreadEvent::Answered {
                producer,
                step,
                answer,
                error,
            } if producer == self.producers => {
                // A member that stops asks for an abort while the offsets are sent. That call waits behind this one.
                if matches!(self.deadline, Some((_, Due::Hung(hung))) if hung == step) {
                    self.deadline = None;
                }
                if matches!(step, Step::Abort | Step::Fence) {
                    self.link.set_stated(false);
                }
                if step == Step::Begin {
                    // This is the transaction that has begun ahead.
                    self.has_begun = false;
                }
                tracing::trace!(target: "kser_kafka", group = self.settings.group, ?step, ?answer, "a call of the transactional producer returned");
                if let Some(error) = error {
                    self.note_failure(step, error);
                } else if step == Step::Fence
                    && let Some(started) = self.started.take()
                {
                    let _ = started.send(Ok(()));
                }
                self.answer(step, answer);
            }
            ThreadEvent::BegunAhead { producer } if producer == self.producers => {
                self.has_begun = true;
            }
            ThreadEvent::Failed { .. }
            | ThreadEvent::Reported { .. }
            | ThreadEvent::Answered { .. }
            | ThreadEvent::BegunAhead { .. } => {}
        }
    }

    fn answer(&mut self, step: Step, answer: Answer) {
        self.window.handle(match step {
            Step::Fence => Event::Fenced(answer),
            Step::Begin => Event::Begun(answer),
            Step::SendOffsets => Event::OffsetsSent(answer),
            Step::Commit => Event::Committed(answer),
            Step::Abort => Event::Aborted(answer),
            Step::State | Step::ReadBack => return,
        });
    }

    fn note_failed_output(&mut self, number: u64, position: usize, error: Error) {
        let reason = reason(&error);
        let source: &dyn std::error::Error = &error;
        tracing::debug!(target: "kser_kafka", group = self.settings.group, error = source, "an output of a transaction is not published");
        if let Error::MissingTopic { topic } = &error {
            self.missing.extend(Topic::new(topic));
        }
        // An output with an unknown outcome is sent again.
        if !matches!(reason, Failure::Unknown | Failure::Unsent) {
            let failures = self.failures.entry(number).or_default();
            failures.push((position, error));
        }
        self.window.handle(Event::Failed(number, reason));
    }

    fn note_failure(&mut self, step: Step, error: Error) {
        self.is_too_long |= step == Step::SendOffsets && is_too_long(&error);
        if is_refusal(&error)
            && let Some(started) = self.started.take()
        {
            let _ = started.send(Err(error));
            return;
        }
        if is_fenced(&error) {
            // The poll thread may find that another member has taken the place of this one.
            self.pauses = u32::MAX;
        }
        let (group, now) = (&self.settings.group, monotonic());
        self.link.set_failing(Some(kser_core::log::report(&error)));
        let error: &dyn std::error::Error = &error;
        let say = self.failing.get_or_insert(now + SAY.0);
        if now >= *say {
            *say = now + SAY.1;
            tracing::warn!(
                target: "kser_kafka",
                group, ?step, error,
                "a transaction of group {group} failed; its records are sent again",
            );
        } else {
            tracing::debug!(target: "kser_kafka", group, ?step, error, "a transaction failed");
        }
    }

    fn make_producer(&mut self) -> Result<(), Error> {
        self.producers += 1;
        let errors = BrokerErrors::default();
        let mut settings = self.settings.client.clone();
        if self.window.is_next_alone() {
            settings.set("batch.num.messages", "1");
        }
        let set = settings.get("batch.size").and_then(|set| set.parse().ok());
        self.batch_bytes = self.link.batch_bytes().clamp(1, set.unwrap_or(BATCH));
        settings.set("batch.size", self.batch_bytes.to_string());
        let producer = make_transactional_client(&settings, &errors, self.time.clone())?;
        let events = self.link.events.clone();
        self.calls = Some(ProducerCalls::start(producer, self.producers, events)?);
        self.has_begun = false;
        Ok(())
    }

    fn call(&mut self, step: Step) {
        let call = match step {
            Step::State => {
                let covers = self.window.covers();
                let too_long = std::mem::take(&mut self.is_too_long);
                return self.link.ask(PollRequest::State { covers, too_long });
            }
            Step::ReadBack => return self.link.ask(PollRequest::ReadBack),
            Step::Fence => {
                // The first producer exists already, and has not been used.
                if !std::mem::take(&mut self.is_unused) {
                    self.calls = None;
                    if let Err(error) = self.make_producer() {
                        self.note_failure(step, error);
                        return self.answer(step, Answer::GiveUp);
                    }
                }
                Call::Init
            }
            // The broker would refuse the batches of this producer.
            Step::Begin if self.link.batch_bytes() < self.batch_bytes => {
                return self.answer(step, Answer::GiveUp);
            }
            Step::Begin => {
                self.sent = monotonic();
                if std::mem::take(&mut self.has_begun) && self.missing.is_empty() {
                    return self.answer(step, Answer::Done);
                }
                let missing = std::mem::take(&mut self.missing);
                Call::Begin(missing.into_iter().collect())
            }
            Step::SendOffsets => match &self.statement {
                Some(stated) => Call::SendOffsets(Arc::clone(stated)),
                None => return self.answer(step, Answer::Abort),
            },
            Step::Commit => Call::Commit(self.sent),
            Step::Abort => Call::Abort,
        };
        self.set_deadline(self.settings.hung, Due::Hung(step));
        match &self.calls {
            Some(calls) => calls.call(call),
            None => self.answer(step, Answer::GiveUp),
        }
    }

    /// Sends the outputs of deliveries in order.
    fn send(&mut self, numbers: &[u64]) {
        self.attempt += 1;
        self.failures.clear();
        let Some(producer) = self.calls.as_ref().map(|calls| Arc::clone(&calls.producer)) else {
            for number in numbers {
                self.window.handle(Event::Failed(*number, Failure::Unknown));
                self.window.handle(Event::Reported(*number));
            }
            return;
        };
        let attempt = self.attempt;
        for number in numbers {
            let Some(ended) = self.ended.get(number) else {
                continue;
            };
            if ended.outputs.is_empty() {
                continue;
            }
            let (events, number) = (self.link.events.clone(), *number);
            let of_failures = events.clone();
            let failed = move |position, error| {
                let _ = of_failures.send(ThreadEvent::Failed {
                    attempt,
                    number,
                    position,
                    error,
                });
            };
            let done = move || {
                let _ = events.send(ThreadEvent::Reported { attempt, number });
            };
            send_to(&producer, &ended.outputs, &self.time, failed, done);
        }
    }

    fn finish(&mut self, ends: Vec<(u64, Ending)>, is_committed: bool) {
        if is_committed {
            self.pauses = 0;
            self.failing = None;
            self.link.set_failing(None);
            let settled = ends.iter().filter_map(|(number, ending)| {
                let ended = self.ended.get(number)?;
                (*ending == Ending::Settled).then_some(ended.id)
            });
            self.link.ask(PollRequest::Committed(settled.collect()));
            self.link.set_stated(false);
        }
        for (number, ending) in ends {
            let Some(ended) = self.ended.remove(&number) else {
                continue;
            };
            let result = match ending {
                Ending::Settled => Ok(true),
                Ending::Lost => Ok(false),
                Ending::Refused => {
                    let failed = self.failures.remove(&number).unwrap_or_default();
                    Err(none_published(ended.outputs.len(), failed))
                }
            };
            ended.finish(result, &self.link.channel);
        }
    }
}

#[cfg(test)]
mod tests;
