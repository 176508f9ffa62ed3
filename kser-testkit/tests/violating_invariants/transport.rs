//! A transport with one flaw, around the simulated one.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kser::run::RunEvent;
use kser_core::{
    Description, EndedDelivery, Error, HandIn, Interest, Message, NotPublished, Outcome, Raw,
    Record, RunId, Settle, Status, Subscription, Ticket, Timestamp, Topic, TopicSpec, Transport,
};

use crate::member::Member;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    CommitsFirst,
    LosesOutputs,
    LosesSends,
    LosesDelayed,
    NeverCommits,
    PublishesTwice,
    WritesLettersTwice,
    ChangesMetadata,
    ForwardsAnotherResult,
    SaysAnotherEnd,
    GoesOnAfterTheEnd,
    SendsTooEarly,
    ForgetsAttempts,
    Invents,
    Reorders,
    Panics,
    LeavesSilently,
    GivesTooMuch,
    ForgetsWaits,
    ChangesLetters,
    TakesOneAtATime,
    LosesHandIns,
}

#[derive(Debug, Clone)]
pub(crate) struct Bad {
    pub(crate) inner: Arc<dyn Transport>,
    pub(crate) flaw: Flaw,
}

impl Bad {
    /// What it does to records on their way out.
    pub(crate) fn spoil(&self, records: Vec<Record>) -> Vec<Record> {
        records
            .into_iter()
            .flat_map(|record| self.spoil_one(record))
            .collect()
    }

    fn spoil_one(&self, mut record: Record) -> Vec<Record> {
        let letter = record.topic.as_str().ends_with(".dlt");
        let message = record
            .payload
            .as_deref()
            .and_then(|bytes| Message::decode(bytes).ok());
        let step = message
            .as_ref()
            .and_then(|message| Some(message.metadata.envelope()?.step));
        match self.flaw {
            Flaw::LosesOutputs => Vec::new(),
            Flaw::LosesDelayed if record.not_before.is_some() => Vec::new(),
            Flaw::PublishesTwice if step == Some(2) => vec![record.clone(), record],
            Flaw::WritesLettersTwice if letter => vec![record.clone(), record],
            Flaw::ChangesLetters if letter => {
                let mut message = message.unwrap();
                message.metadata.set("seen", Raw::new("true").unwrap());
                record.payload = Some(message.encode().unwrap());
                vec![record]
            }
            Flaw::ForgetsWaits => {
                record.not_before = None;
                vec![record]
            }
            Flaw::ForgetsAttempts => {
                record.headers.retain(|(name, _)| name != "kser-attempts");
                vec![record]
            }
            Flaw::ChangesMetadata | Flaw::ForwardsAnotherResult if step == Some(2) => {
                let mut message = message.unwrap();
                match self.flaw {
                    Flaw::ChangesMetadata => {
                        message.metadata.set("tenant", Raw::new("other").unwrap())
                    }
                    _ => message.result = Outcome::text("another result"),
                }
                record.payload = Some(message.encode().unwrap());
                vec![record]
            }
            Flaw::SaysAnotherEnd => match event(&record) {
                Some(mut event) if event.status == Status::Success => {
                    event.status = Status::Failed;
                    let mut other = record.clone();
                    other.payload = Some(serde_json::to_vec(&event).unwrap().into());
                    vec![record, other]
                }
                _ => vec![record],
            },
            Flaw::GoesOnAfterTheEnd => match event(&record) {
                Some(event) if event.status == Status::Success => {
                    vec![record, step_of(&event.run, 3, "again")]
                }
                _ => vec![record],
            },
            Flaw::SendsTooEarly if step == Some(2) => {
                let run = message.unwrap().metadata.envelope().unwrap().run.clone();
                vec![step_of(&run, 3, run.step(3).as_str()), record]
            }
            _ => vec![record],
        }
    }
}

fn event(record: &Record) -> Option<RunEvent> {
    RunEvent::decode(record.payload.as_deref()?).ok()
}

/// The message of a step that nobody has asked for.
fn step_of(run: &RunId, step: u32, uuid: &str) -> Record {
    let text = format!(
        r#"{{"uuid":"{uuid}","entrypoint":"shop.Work","params":{{"number":{step}}},"metadata":{{"kser":{{"v":1,"run":"{run}","name":"shop.Job","step":{step},"of":3,"mode":"at-least-once","version":9}}}}}}"#
    );
    let record = Record::new(Topic::new("shop").unwrap(), Some(text.into()));
    record.with_key(run.to_string())
}

#[async_trait]
impl Transport for Bad {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        match self.flaw {
            Flaw::LosesSends => Ok(()),
            _ => self.inner.publish(records).await,
        }
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        let group = interest.group.is_some();
        let inner = self.inner.subscribe(interest).await?;
        match group {
            true => Ok(Box::new(Member::new(inner, self.clone()))),
            false => Ok(inner),
        }
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.inner.ensure_topics(topics).await
    }

    async fn describe(&self, topics: &[Topic]) -> Result<Description, Error> {
        self.inner.describe(topics).await
    }
}

/// A ticket of the simulated transport, behind one of ours; `None` for one that is settled already.
#[derive(Debug)]
pub(crate) struct Lent {
    ticket: Mutex<Option<Ticket>>,
    bad: Bad,
    /// Its member counts those that are not settled.
    _open: Arc<()>,
}

impl Lent {
    pub(crate) const fn new(ticket: Option<Ticket>, bad: Bad, open: Arc<()>) -> Self {
        Self {
            ticket: Mutex::new(ticket),
            bad,
            _open: open,
        }
    }

    fn take(&self) -> Option<Ticket> {
        self.ticket.lock().unwrap().take()
    }
}

#[async_trait]
impl Settle for Lent {
    async fn settle(&self, _: u128, outputs: &[Record]) -> Result<(), Error> {
        let outputs = self.bad.spoil(outputs.to_vec());
        let Some(ticket) = self.take() else {
            let published = self.bad.inner.publish(outputs).await;
            return published.map_err(NotPublished::into_error);
        };
        if self.bad.flaw == Flaw::NeverCommits {
            // A ticket that is dropped would be given back.
            std::mem::forget(ticket);
            let published = self.bad.inner.publish(outputs).await;
            return published.map_err(NotPublished::into_error);
        }
        match ticket.settle(outputs).await {
            Ok(settled) if settled.is_lost() => Err(Error::Lost),
            Ok(_) => Ok(()),
            Err(not_settled) => {
                *self.ticket.lock().unwrap() = Some(not_settled.ticket);
                Err(not_settled.source)
            }
        }
    }

    async fn begin(&self, _: u128) -> Result<(), Error> {
        let Some(ticket) = self.take() else {
            return Ok(());
        };
        let begun = ticket.begin().await;
        *self.ticket.lock().unwrap() = Some(ticket);
        begun
    }

    fn release(&self, _: u128, not_before: Option<Timestamp>, failed: u32) {
        if let Some(ticket) = self.take() {
            let _ = ticket.release_failed(not_before, failed);
        }
    }
}

impl HandIn for Lent {
    /// Only the flaw of hand-ins takes them: it acknowledges a delivery whose outputs it drops.
    fn hand_in(&self, ended: EndedDelivery) -> Result<(), EndedDelivery> {
        if self.bad.flaw != Flaw::LosesHandIns {
            return Err(ended);
        }
        let ticket = self.take().unwrap();
        tokio::spawn(async move {
            let _ = ticket.settle(Vec::new()).await;
            ended.report_settled();
        });
        Ok(())
    }
}
