use std::collections::VecDeque;

use kser_core::sequencing::Event;
use kser_core::{
    Delivery, Envelope, Error, Interest, Message, Mode, NotSettled, Origin, Record, Room, Status,
    Subscription, Ticket, Timestamp, Topic,
};

use crate::connection::Shared;
use crate::post::RunRef;
use crate::stored::{Stored, run_ref};
use crate::topics::DEAD_LETTERS;
use crate::{Connection, RunEvent, headers};

/// The dead letters of one topic, to be looked at and replayed.
///
/// One who works on them is a member of the group `kser.<topic>.dlt`: a letter is in one hand at a time.
#[derive(Debug)]
pub struct DeadLetters {
    connection: Connection,
    subscription: Box<dyn Subscription>,
    received: VecDeque<Delivery>,
}

impl DeadLetters {
    pub(crate) async fn open(connection: Connection, topic: &str) -> Result<Self, Error> {
        let shared = connection.shared();
        let topic = shared.post.routes.prefixed(&Topic::new(topic)?)?;
        let letters = topic.with_suffix(DEAD_LETTERS)?;
        let group = format!("kser.{letters}");
        let interest = Interest::group(group, vec![letters]);
        let subscription = shared.transport.subscribe(interest).await?;
        Ok(Self {
            connection,
            subscription,
            received: VecDeque::new(),
        })
    }

    /// Waits for the next letter.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the transport does not answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no letter.
    pub async fn next(&mut self) -> Result<DeadLetter, Error> {
        loop {
            if let Some(delivery) = self.received.pop_front() {
                return Ok(DeadLetter::new(self.connection.clone(), delivery));
            }
            let room = Room::records(1);
            self.received.extend(self.subscription.receive(room).await?);
        }
    }

    /// Leaves the letters to others.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the transport does not answer.
    pub async fn close(self) -> Result<(), Error> {
        for delivery in self.received {
            let _ = delivery.ticket.release(None);
        }
        self.subscription.close().await
    }
}

/// A record that was given up, and why. One that is dropped stays among the dead letters.
#[derive(Debug)]
#[must_use = "replay, discard or keep it"]
pub struct DeadLetter {
    connection: Connection,
    record: Record,
    ticket: Ticket,
}

impl DeadLetter {
    fn new(connection: Connection, delivery: Delivery) -> Self {
        let Delivery { record, ticket, .. } = delivery;
        Self {
            connection,
            record,
            ticket,
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
    /// [`Error::Decode`] when it is none, which may be why it is here.
    pub fn message(&self) -> Result<Message, Error> {
        Message::decode(self.record.payload.as_deref().unwrap_or_default())
    }

    /// Returns the topic and the place in it where the record was at first; `None` for one that its topic did not take.
    #[must_use]
    pub fn origin(&self) -> Option<(String, Origin)> {
        let origin = std::str::from_utf8(self.record.header(headers::ORIGIN)?).ok()?;
        let (rest, offset) = origin.rsplit_once('/')?;
        let (topic, partition) = rest.rsplit_once('/')?;
        let origin = Origin {
            partition: partition.parse().ok()?,
            offset: offset.parse().ok()?,
        };
        Some((topic.to_owned(), origin))
    }

    /// Returns the group that gave it up.
    #[must_use]
    pub fn group(&self) -> Option<String> {
        self.text(headers::GROUP)
    }

    /// Returns why it was given up.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.text(headers::ERROR)
    }

    /// Counts the attempts that were made; 0 for what could not be read or was unknown.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        headers::number(&self.record, headers::ATTEMPTS).unwrap_or_default()
    }

    /// Returns when the first and the last attempt failed.
    #[must_use]
    pub fn failed(&self) -> Option<(Timestamp, Timestamp)> {
        let first = headers::moment(&self.record, headers::FIRST_FAILED)?;
        let last = headers::moment(&self.record, headers::LAST_FAILED)?;
        Some((first, last))
    }

    /// Counts how often the record was replayed before.
    #[must_use]
    pub fn replays(&self) -> u64 {
        headers::number(&self.record, headers::REPLAY).unwrap_or_default()
    }

    /// Has the record run again where it came from, attempts counted from 1. A carried run goes on with it; a stored run
    /// tries the step at which it stands again.
    ///
    /// # Errors
    ///
    /// [`Error::Rejected`] when the stored run does not stand at this step: it was repaired otherwise. The letter stays
    /// then, as after any other error.
    pub async fn replay(self) -> Result<(), Error> {
        let message = self.message().ok();
        let shared = self.connection.shared();
        let envelope = match &message {
            Some(message) => envelope_of(shared, message, &self.record).await,
            None => Ok(None),
        };
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(error) => {
                let _ = self.ticket.release(None);
                return Err(error);
            }
        };
        let prepared = match (&message, &envelope) {
            (Some(message), Some(envelope)) if envelope.mode == Mode::Stored => {
                let retried = retried(shared, message, envelope).await;
                retried.and_then(|records| self.as_sent(records))
            }
            (Some(message), Some(envelope)) => self.revived(message, envelope),
            _ => self.original().map(|record| vec![record]),
        };
        match prepared {
            Ok(records) => {
                let carried = envelope.filter(|envelope| envelope.mode != Mode::Stored);
                if let Some(envelope) = &carried {
                    shared.observer.expect_replay(&envelope.run, true);
                }
                let settled = settle(self.ticket, records).await;
                if let (Some(envelope), Err(_)) = (&carried, &settled) {
                    shared.observer.expect_replay(&envelope.run, false);
                }
                settled
            }
            Err(error) => {
                let _ = self.ticket.release(None);
                Err(error)
            }
        }
    }

    /// Forgets the letter.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the transport does not answer; the letter stays then.
    pub async fn discard(self) -> Result<(), Error> {
        settle(self.ticket, Vec::new()).await
    }

    /// Leaves the letter where it is. It comes again, at once, to whoever asks for the next one.
    pub fn keep(self) {
        let _ = self.ticket.release(None);
    }

    /// The original record, and the news that its run goes on.
    fn revived(&self, message: &Message, envelope: &Envelope) -> Result<Vec<Record>, Error> {
        let shared = self.connection.shared();
        let progress = kser_core::sequencing::Progress::seen(envelope, message.result.clone());
        let event = RunEvent {
            replay: true,
            ..RunEvent::changed(
                envelope.run.clone(),
                envelope.name.clone(),
                &progress,
                Status::Failed,
                shared.clock.now(),
            )
        };
        Ok(vec![shared.post.event(&event)?, self.original()?])
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
        let topic = record.topic.as_str().strip_suffix(DEAD_LETTERS);
        record.topic = Topic::new(topic.unwrap_or(record.topic.as_str()))?;
        let gone = [
            headers::ATTEMPTS,
            headers::FIRST_FAILED,
            headers::LAST_FAILED,
            headers::GROUP,
            headers::ERROR,
        ];
        for name in gone {
            headers::remove(&mut record, name);
        }
        let replays = (self.replays() + 1).to_string();
        headers::set(&mut record, headers::REPLAY, replays);
        Ok(record)
    }

    fn text(&self, name: &str) -> Option<String> {
        let value = self.record.header(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

/// What the message says of its run, or what the store does: a launch that others wrote says nothing.
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
    let launched = run.filter(|run| Some(&run.launch) == record.payload.as_ref());
    Ok(launched.map(|run| Envelope::new(run.id, run.name, Mode::Stored)))
}

/// What a stored run publishes when the step of a letter is tried again.
async fn retried(
    shared: &Shared,
    message: &Message,
    envelope: &Envelope,
) -> Result<Vec<Record>, Error> {
    let store = shared.store("the replay of a step whose state is stored")?;
    let stored = Stored { shared, store };
    let applied = stored
        .apply(&envelope.run, |known| Event::Retried {
            step: kser_core::sequencing::StepKey {
                position: envelope.step,
                uuid: message.uuid.clone(),
                entrypoint: known
                    .here
                    .as_ref()
                    .filter(|here| here.key.uuid == message.uuid)
                    .map_or_else(
                        || message.entrypoint.clone(),
                        |here| here.key.entrypoint.clone(),
                    ),
            },
        })
        .await?;
    let info = store.run(&envelope.run).await?;
    let info = info.ok_or_else(|| Error::UnknownRun {
        id: envelope.run.clone(),
    })?;
    let run: RunRef = run_ref(&info)?;
    stored.records(&run, &applied, Some(&info.launch))
}

async fn settle(ticket: Ticket, records: Vec<Record>) -> Result<(), Error> {
    match ticket.settle(records).await {
        Ok(settled) if settled.is_lost() => Err(Error::Lost),
        Ok(_) => Ok(()),
        Err(NotSettled { source, ticket, .. }) => {
            let _ = ticket.release(None);
            Err(match source {
                Error::Unpublished { source } => source.into_error(),
                other => other,
            })
        }
    }
}
