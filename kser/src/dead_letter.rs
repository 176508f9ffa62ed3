//! Dead letters: messages that failed for good, with the original bytes and the reason.
//!
//! [`Client::dead_letters`](crate::Client::dead_letters) opens those of a topic. Each [`DeadLetter`] is replayed, discarded,
//! or kept for a later session.
//!
//! ```
//! # use kser::{Entrypoint, Registry, TaskError};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize, Entrypoint)]
//! # #[entrypoint("image.Resize")]
//! # struct Resize {}
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), kser::Error> {
//! # let kser = kser::connect("memory://").await?;
//! # let fails = |_: Resize| async { Err::<(), _>(TaskError::permanent("NoImage", "no image")) };
//! # let consumer = kser.consumer(Registry::new().task(fails).build()?).spawn();
//! # kser.producer().send(Resize {}).await?;
//! let mut letters = kser.dead_letters("image").await?;
//! let letter = letters.next().await?;
//! println!("{:?} after {} attempts", letter.error(), letter.attempts());
//! letter.replay().await?;
//! letters.close().await?;
//! # consumer.stop().await
//! # }
//! ```

use std::sync::Arc;

use bytes::Bytes;
use kser_core::sequencing::{Event, Progress, StepKey};
use kser_core::{
    Envelope, Error, Message, Mode, NotSettled, Origin, Record, RecordPlace, RunId, Status,
    Timestamp, Topic, headers,
};

pub use crate::dead_letters::{DeadLetters, FailedReplay, ReplayReport};
use crate::dead_letters::{Place, Session};
use crate::engine::event::RunEvent;
use crate::engine::event_watcher::EventWatcher;
use crate::engine::run_ref::RunRef;
use crate::engine::run_view::RunView;
use crate::engine::scope::message::is_stored_run;
use crate::engine::stored::{Applied, Stored, run_ref};
use crate::observer::{LetterEnd, Observation};
use crate::payloads::Payloads;
use crate::shared::Shared;
use crate::topics::DEAD_LETTERS;

/// A record that was given up, with the reason. One that is dropped stays among the dead letters, as one that is
/// [kept](Self::keep).
#[derive(Debug)]
pub struct DeadLetter {
    shared: Arc<Shared>,
    session: Arc<Session>,
    place: Place,
    record: Record,
}

/// The replay of a carried run that the waiters of this client wait beyond, until it is dropped.
struct Expected<'a> {
    event_watcher: &'a EventWatcher,
    run: Option<&'a RunId>,
}

impl DeadLetter {
    pub(crate) const fn new(
        shared: Arc<Shared>,
        session: Arc<Session>,
        place: Place,
        record: Record,
    ) -> Self {
        Self {
            shared,
            session,
            place,
            record,
        }
    }

    /// Returns the topic and place of the dead letter itself.
    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the place of the dead letter in the topic of the dead letters, as a view of
    /// [`Client::inspect`](crate::Client::inspect) shows it.
    #[must_use]
    pub const fn record_place(&self) -> RecordPlace {
        let (_, origin) = &self.place;
        RecordPlace {
            partition: origin.partition,
            offset: origin.offset,
        }
    }

    /// Returns the record as it was given up, our headers behind the others.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// Reads the message, if it is one.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] when it is none, or it is encrypted and cannot be opened, which may be why it is here.
    pub fn message(&self) -> Result<Message, Error> {
        self.payloads().message(&self.record)
    }

    /// Returns the topic and the place in it where the record was at first; `None` for one that its topic did not take, and
    /// for an external step, which another group has received.
    #[must_use]
    pub fn origin(&self) -> Option<(String, Origin)> {
        let (topic, origin) = headers::origin(&self.record)?;
        Some((topic.to_string(), origin))
    }

    /// Returns the entrypoint of the message, by the headers: without decoding it. `None` where payloads are encrypted, where the record is no message, and in dead letters of earlier versions.
    #[must_use]
    pub fn entrypoint(&self) -> Option<String> {
        self.text(headers::ENTRYPOINT)
    }

    /// Returns the run of the message, and its step: from 1, and 0 for the launch. `None` as for
    /// [`entrypoint`](Self::entrypoint), and for a lone task.
    #[must_use]
    pub fn run(&self) -> Option<(RunId, u32)> {
        let step = self.text(headers::STEP)?.parse().ok()?;
        Some((RunId::from(self.text(headers::RUN)?), step))
    }

    /// Returns the code of the error. `None` as for [`entrypoint`](Self::entrypoint), and for a record that failed without
    /// running.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        self.text(headers::CODE)?.parse().ok()
    }

    /// Returns the group that gave it up.
    #[must_use]
    pub fn group(&self) -> Option<String> {
        self.text(headers::GROUP)
    }

    /// Returns why it was given up, in at most 4,096 bytes: a longer text is cut, and ends in `… (cut: N bytes)`, where N is its
    /// whole length.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        let value = self.record.header(headers::ERROR)?;
        Some(self.payloads().open_header(value, &self.record.topic))
    }

    /// Counts the attempts that were made, also those that ended without a report, as by a crash. An attempt that a graceful
    /// stop gave back does not count. 0 for a record that could not be read or was unknown.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        headers::attempts(&self.record).unwrap_or_default().into()
    }

    /// Returns when the first and the last attempt failed.
    #[must_use]
    pub fn failed(&self) -> Option<(Timestamp, Timestamp)> {
        // Independent of the reader's clock.
        let ever = Timestamp::from_millis(u64::MAX);
        let first = headers::passed(&self.record, headers::FIRST_FAILED, ever)?;
        let last = headers::passed(&self.record, headers::LAST_FAILED, ever)?;
        Some((first, last))
    }

    /// Counts how often the record was replayed before.
    #[must_use]
    pub fn replays(&self) -> u64 {
        headers::replays(&self.record).unwrap_or_default()
    }

    /// Replays the record in the topic that it came from, with attempts counted from 1. A carried run goes on with it; a
    /// stored run tries the step at which it stands again.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] when the stored run does not stand at this step: it was repaired otherwise. [`Error::Lost`] when
    /// the session is closed. The dead letter stays then, as after any other error, and comes again in the next session.
    ///
    /// # Cancel safety
    ///
    /// After the future was dropped the record may run again, the dead letter may stay, or both.
    pub async fn replay(self) -> Result<(), Error> {
        let message = self.message().ok();
        let shared = &self.shared;
        let envelope = match &message {
            Some(message) => envelope_of(shared, message, &self.record).await?,
            None => None,
        };
        let (records, carried) = match (&message, &envelope) {
            (Some(message), Some(envelope)) if is_stored_run(envelope) => {
                let records = retry_stored(shared, message, envelope).await?;
                (self.as_sent(records)?, None)
            }
            (Some(message), Some(envelope)) => {
                (self.revive(message, envelope)?, Some(&envelope.run))
            }
            _ => (vec![self.original()?], None),
        };
        let expected = Expected::new(&shared.event_watcher, carried);
        self.settle(LetterEnd::Replayed, records).await?;
        expected.comes();
        Ok(())
    }

    /// Forgets the dead letter.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the transport does not answer, [`Error::Lost`] when the session is closed; the dead letter stays
    /// then.
    pub async fn discard(self) -> Result<(), Error> {
        self.settle(LetterEnd::Discarded, Vec::new()).await
    }

    /// Writes the dead letter again, at the end of its topic, and settles it here: the time for which its topic keeps it begins anew.
    /// Its headers stay as they are.
    ///
    /// # Errors
    ///
    /// As [`discard`](Self::discard).
    pub async fn renew(self) -> Result<(), Error> {
        let again = vec![self.record.clone()];
        self.settle(LetterEnd::Renewed, again).await
    }

    /// Leaves the dead letter where it is, as dropping it does. It comes again in the next session.
    pub fn keep(self) {
        drop(self);
    }

    async fn settle(&self, end: LetterEnd, records: Vec<Record>) -> Result<(), Error> {
        let ticket = self.session.take(&self.place)?;
        match ticket.settle(records).await {
            Ok(settled) if settled.is_lost() => Err(Error::Lost),
            Ok(_) => {
                let topic = self.record.topic.as_str();
                let topic = topic.strip_suffix(DEAD_LETTERS).unwrap_or(topic);
                self.shared
                    .observe(&Observation::LetterSettled { topic, end });
                Ok(())
            }
            Err(NotSettled { source, ticket, .. }) => {
                self.session.hold(self.place.clone(), ticket);
                Err(match source {
                    Error::Unpublished { source } => source.into_error(),
                    other => other,
                })
            }
        }
    }

    /// The original record, and the news that its run goes on.
    fn revive(&self, message: &Message, envelope: &Envelope) -> Result<Vec<Record>, Error> {
        let shared = &self.shared;
        let progress = Progress::seen(envelope, message.result.clone());
        let event = RunEvent {
            replay: true,
            ..RunEvent::changed(
                envelope.run.clone(),
                envelope.name.clone(),
                &progress,
                Status::Failed,
                shared.clock.wall(),
            )
        };
        Ok(vec![shared.writer.event(&event)?, self.original()?])
    }

    /// Gives the message of the step, as the store has it now, the headers that the record was sent with.
    fn as_sent(&self, mut records: Vec<Record>) -> Result<Vec<Record>, Error> {
        let original = self.original()?;
        let mut steps = records.iter_mut();
        if let Some(step) = steps.find(|record| record.topic == original.topic) {
            step.headers = original.headers;
        }
        Ok(records)
    }

    /// The record as it was sent at first, but for where it came from and how often it was replayed.
    fn original(&self) -> Result<Record, Error> {
        let mut record = self.record.clone();
        record.topic = match headers::topic(&record) {
            Some(topic) => topic,
            None => {
                let topic = record.topic.as_str().strip_suffix(DEAD_LETTERS);
                Topic::new(topic.unwrap_or(record.topic.as_str()))?
            }
        };
        let gone = [
            headers::TOPIC,
            headers::ATTEMPTS,
            headers::FIRST_FAILED,
            headers::LAST_FAILED,
            headers::GROUP,
            headers::ERROR,
            headers::ENTRYPOINT,
            headers::RUN,
            headers::STEP,
            headers::CODE,
        ];
        for name in gone {
            headers::remove(&mut record, name);
        }
        let replays = (self.replays() + 1).min(headers::REPLAYS).to_string();
        headers::set(&mut record, headers::REPLAY, replays);
        Ok(record)
    }

    fn payloads(&self) -> &Payloads {
        &self.shared.writer.payloads
    }

    fn text(&self, name: &str) -> Option<String> {
        let value = self.record.header(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

impl<'a> Expected<'a> {
    fn new(event_watcher: &'a EventWatcher, run: Option<&'a RunId>) -> Self {
        if let Some(run) = run {
            event_watcher.expect_replay(run, true);
        }
        Self { event_watcher, run }
    }

    /// The replay is published: its event takes the expectation back.
    fn comes(mut self) {
        self.run = None;
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        if let Some(run) = self.run {
            self.event_watcher.expect_replay(run, false);
        }
    }
}

/// Returns the envelope of the message or, for a launch without one by another program, an envelope of the stored run that
/// was launched with exactly this payload. `None` if there is neither.
async fn envelope_of(
    shared: &Shared,
    message: &Message,
    record: &Record,
) -> Result<Option<Envelope>, Error> {
    if let Some(envelope) = message.metadata.envelope() {
        return Ok(Some(envelope.clone()));
    }
    let Some(store) = &shared.store else {
        return Ok(None);
    };
    let run = store.run(&message.uuid.clone().into()).await?;
    let text = shared.writer.payloads.text(record).ok();
    let launched = run.filter(|run| Some(&run.launch) == text.as_ref());
    Ok(launched.map(|run| Envelope::new(run.id, run.name, Mode::Stored)))
}

/// Refuses the replay of a dead letter as [`DeadLetter::replay`] does, by the same rules, and changes nothing.
pub(crate) async fn check_replay(shared: &Shared, record: &Record) -> Result<(), Error> {
    let Ok(message) = shared.writer.payloads.message(record) else {
        // Replayed as it is.
        return Ok(());
    };
    let envelope = envelope_of(shared, &message, record).await?;
    let Some(envelope) = envelope.filter(is_stored_run) else {
        return Ok(());
    };
    let (stored, run, _) = stored_run(shared, &envelope).await?;
    let view = stored.view(&run.id).await?;
    let decided = stored.decide(&view, retried(&view, &message, &envelope));
    let decided = decided.map_err(|source| Error::Rejected { id: run.id, source });
    decided.map(drop)
}

/// Returns the records that a stored run publishes when the step of a dead letter is tried again.
async fn retry_stored(
    shared: &Shared,
    message: &Message,
    envelope: &Envelope,
) -> Result<Vec<Record>, Error> {
    let (stored, run, launch) = stored_run(shared, envelope).await?;
    let applied = stored.apply(&run, |view| retried(view, message, envelope));
    let Applied { before, after } = &applied.await?;
    let records = stored.records(&run, before, after, Some(&launch))?;
    Ok(stored.to_local_clock(records))
}

/// Returns the run of a dead letter, with its launch message.
async fn stored_run<'s>(
    shared: &'s Shared,
    envelope: &Envelope,
) -> Result<(Stored<'s>, RunRef, Bytes), Error> {
    let store = shared.store("the replay of a step whose state is stored")?;
    let info = store.run(&envelope.run).await?;
    let info = info.ok_or_else(|| Error::UnknownRun {
        id: envelope.run.clone(),
    })?;
    let run = run_ref(&info)?;
    Ok((Stored { shared, store }, run, info.launch))
}

/// Returns the event that tries the step of a dead letter again.
fn retried(view: &RunView, message: &Message, envelope: &Envelope) -> Event {
    let here = view.here.as_ref();
    let here = here.filter(|here| here.key.uuid == message.uuid);
    let named = here.map_or(&message.entrypoint, |here| &here.key.entrypoint);
    Event::Retried {
        step: StepKey {
            position: envelope.step,
            uuid: message.uuid.clone(),
            entrypoint: named.clone(),
        },
    }
}
