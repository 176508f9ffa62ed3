use std::time::Duration;

use kser_core::{Error, Message, Mode, Outcome, Record, Status};

use super::dead_letter;
use super::disposition::{Disposition, Outputs, RefusedRecord};
use super::state::DeliveryState;
use crate::consumer::processor::{Processor, backoff};
use crate::engine::event::RunEvent;
use crate::engine::refusal;

/// What goes out in place of a record.
enum Replacement {
    Records(Vec<Record>),
    /// Nothing can: it is tried again until its topic takes it.
    Itself,
    /// That cannot be told before.
    Later(Duration),
}

impl Processor {
    /// What was decided and is not published yet, with something else in place of what a topic does not take.
    pub(crate) async fn decided(&self, work: &mut DeliveryState, mut done: Outputs) -> Disposition {
        let mut wait = None;
        let mut refused = std::mem::take(&mut work.refused);
        while let Some(one) = refused.pop() {
            match self.replacement_of(work, &one).await {
                Ok(Replacement::Records(records)) => done.put(records, one.output),
                Ok(Replacement::Itself) => {
                    done.put(vec![one.record], one.output);
                    wait = Some(backoff(work.unsettled));
                }
                Ok(Replacement::Later(pause)) => {
                    work.refused.push(one);
                    wait = Some(pause);
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(target: "kser", topic = %work.record.topic, error, "a record that its topic refuses cannot be given up yet");
                    work.refused.push(one);
                    wait = Some(backoff(work.unsettled));
                }
            }
        }
        match wait {
            None => Disposition::Ack(done),
            Some(pause) => {
                work.decided = Some(done);
                Disposition::RetryIn(pause)
            }
        }
    }

    /// A record that its topic does not take becomes a dead letter, and ends the run whose step it is.
    async fn replacement_of(
        &self,
        work: &DeliveryState,
        refused: &RefusedRecord,
    ) -> Result<Replacement, Error> {
        let RefusedRecord {
            record,
            output,
            error,
        } = refused;
        if dead_letter::is_dead_letter(record) {
            return self.replace_dead_letter(work, record, output.is_some(), error);
        }
        if record.topic == self.shared.writer.routes.events()? {
            return self.replace_event(work, record, error);
        }
        let unsent = DeliveryState::unsent(record.clone(), work, &*self.shared.clock);
        let payload = record.payload.as_deref().unwrap_or_default();
        let Ok(message) = Message::decode(payload) else {
            let letter = self.dead_letter(&unsent, unsent.tries.failed, &error.report())?;
            return Ok(Replacement::Records(vec![letter]));
        };
        let given_up = Box::pin(self.give_up(&unsent, &message, refusal::outcome(error)));
        Ok(match given_up.await? {
            Disposition::Ack(done) => Replacement::Records(done.records),
            Disposition::RetryIn(pause) => Replacement::Later(pause),
            Disposition::Release | Disposition::RunExclusively | Disposition::AwaitPlace(_) => {
                Replacement::Itself
            }
        })
    }

    /// A dead letter leaves out what is ours. That of a record that was never sent is the delivery's own at last, from
    /// which it follows again, unless the store keeps it; the delivery's own is held.
    fn replace_dead_letter(
        &self,
        work: &DeliveryState,
        letter: &Record,
        is_output: bool,
        error: &Error,
    ) -> Result<Replacement, Error> {
        let bare = dead_letter::within(letter.clone(), 0);
        if bare.size() < letter.size() {
            return Ok(Replacement::Records(vec![bare]));
        }
        if letter.payload == work.record.payload {
            return Ok(Replacement::Itself);
        }
        tracing::error!(target: "kser", error = kser_core::log::report(error), "a record and its dead letter are not taken by their topics");
        let message = Message::decode(letter.payload.as_deref().unwrap_or_default());
        let mode = message.ok().and_then(|message| mode_of(&message));
        if is_output || mode == Some(Mode::Stored) {
            // The store has the step, for whoever retries it, and what a handler sends, for a sweep.
            return Ok(Replacement::Records(Vec::new()));
        }
        let own = self.dead_letter(work, work.tries.failed, &error.report())?;
        Ok(Replacement::Records(vec![own]))
    }

    /// The end of a run that is too large to be told is a failure. Other news is left out.
    fn replace_event(
        &self,
        work: &DeliveryState,
        record: &Record,
        error: &Error,
    ) -> Result<Replacement, Error> {
        let mut event = RunEvent::decode(record.payload.as_deref().unwrap_or_default())?;
        let message = Message::decode(work.record.payload.as_deref().unwrap_or_default());
        let mode = message.ok().and_then(|message| mode_of(&message));
        let mode = mode.unwrap_or(self.shared.mode);
        let outcome = refusal::outcome(error);
        let is_smaller = event
            .outcome
            .as_ref()
            .is_some_and(|told: &Outcome| told.encoded_len() > outcome.encoded_len());
        if mode == Mode::Stored || !event.status.is_terminal() || !is_smaller {
            tracing::error!(target: "kser", run = ?event.run, error = kser_core::log::report(error), "a change of status is not told");
            return Ok(Replacement::Records(Vec::new()));
        }
        let mut records = Vec::new();
        if event.status != Status::Failed {
            records.push(self.dead_letter(work, work.tries.failed, &error.report())?);
        }
        event.status = Status::Failed;
        event.outcome = Some(outcome);
        records.push(self.shared.writer.event(&event)?);
        Ok(Replacement::Records(records))
    }
}

fn mode_of(message: &Message) -> Option<Mode> {
    message.metadata.envelope().map(|envelope| envelope.mode)
}
