use std::sync::Arc;
use std::time::Duration;

use kser_core::sequencing::{Effect, Event, Progress, Rejected};
use kser_core::{
    Envelope, Error, Handler, HeldPartition, Message, Mode, Outcome, Record, TaskError,
};

use super::job::Job;
use super::run::{Run, step_key};
use crate::consumer::delivery::dead_letter;
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::state::DeliveryState;
use crate::consumer::options::LOOK_AGAIN;
use crate::consumer::processor::Processor;
use crate::engine::records::{RunRef, STEP_ENDED};
use crate::engine::stored::{RunView, Stored, SwapOutcome, WriteExtras};

impl Processor {
    /// Decides what becomes of a delivery. What cannot be decided now is looked at again.
    pub(crate) async fn decide(&self, work: &mut DeliveryState) -> Disposition {
        if let Some(done) = work.decided.take() {
            return Box::pin(self.decided(work, done)).await;
        }
        match self.read(work).await {
            Ok(decision) => {
                work.held = None;
                decision
            }
            Err(error) => self.undecided(work, &error),
        }
    }

    /// What may pass is waited for here. What will not pass here may be understood by another consumer, for as long as an
    /// unknown entrypoint; then it goes to the dead letters.
    fn undecided(&self, work: &mut DeliveryState, error: &Error) -> Disposition {
        let report = kser_core::log::report(error);
        tracing::error!(target: "kser", topic = %work.record.topic, error = report, "a delivery cannot be decided");
        // What the store fails with is no fault of the message: it is held, whatever the store says about the next try.
        let is_held = error.is_temporary() || matches!(error, Error::Backend { .. });
        if !is_held {
            if self.may_wait(work) {
                return self.look_again(work);
            }
            if let Ok(letter) = self.dead_letter(work, work.tries.failed, &error.report()) {
                return Disposition::ack_with(vec![letter]);
            }
        }
        work.unsettled += 1;
        let partition = work.origin.map_or(0, |origin| origin.partition);
        let held = HeldPartition::new(work.record.topic.clone(), partition, report);
        work.held = Some(self.unsettled.insert(held));
        Disposition::RetryIn(crate::consumer::processor::backoff(work.unsettled))
    }

    async fn read(&self, work: &mut DeliveryState) -> Result<Disposition, Error> {
        let Some(payload) = &work.record.payload else {
            return self.unreadable(work, "the record has no payload");
        };
        let message = match Message::decode(payload) {
            Ok(message) => message,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                let flaw = format!("{error}: {}", cause.unwrap_or_default());
                let payload = payload.clone();
                let report = self.unreadable_report(work, &payload, &flaw);
                return match Box::pin(report).await? {
                    Some(decision) => Ok(decision),
                    None => self.unreadable(work, &flaw),
                };
            }
        };
        if let Some(version) = message.metadata.newer_version() {
            tracing::warn!(target: "kser", topic = %work.record.topic, version, "a message of a newer version of kser waits for a newer consumer");
            return Ok(self.look_again(work));
        }
        match self.asked(work, &message).await {
            // The plan that rides along is none, and will not be one later.
            Err(error @ Error::InvalidStep { .. }) => {
                let error = TaskError::new("InvalidPlan", error.report()).with_code(400);
                Box::pin(self.give_up(work, &message, Outcome::from(&error))).await
            }
            decided => decided,
        }
    }

    /// Does what a message asks for.
    async fn asked(
        &self,
        work: &mut DeliveryState,
        message: &Message,
    ) -> Result<Disposition, Error> {
        if message.entrypoint.as_str() == STEP_ENDED {
            return Box::pin(self.reported(work, message)).await;
        }
        let asked = self.registry.get(&message.entrypoint);
        let job = match asked {
            Some(Handler::Task(_)) if is_launch(message) => {
                return Box::pin(self.launched_task(work, message)).await;
            }
            Some(Handler::Task(entry)) => Job::Task(entry),
            Some(Handler::Operation(_)) if is_step(message) => {
                return Box::pin(self.nested(work, message)).await;
            }
            Some(Handler::Operation(entry)) => Job::Build(entry),
            Some(Handler::Status(entry)) => Job::Hook(entry),
            _ => return Box::pin(self.unknown(work, message)).await,
        };
        if let Some(places) = self.places_of.get(&message.entrypoint)
            && work.place.is_none()
        {
            match Arc::clone(places).try_acquire_owned() {
                Ok(place) => work.place = Some(place),
                Err(_) => return Ok(Disposition::AwaitPlace(Arc::clone(places))),
            }
        }
        self.run(work, message, job).await
    }

    /// What is no message goes to the dead letters at once, as raw bytes.
    fn unreadable(&self, work: &DeliveryState, error: &str) -> Result<Disposition, Error> {
        let shared = &self.shared;
        tracing::error!(
            target: "kser",
            topic = %work.record.topic,
            "Controller.ImportError: Failed to load data from kafka: {}",
            kser_core::log::clean(error, shared.log.longest()),
        );
        Ok(Disposition::ack_with(vec![
            self.dead_letter(work, 0, error)?,
        ]))
    }

    pub(crate) fn dead_letter(
        &self,
        work: &DeliveryState,
        attempts: u32,
        error: &str,
    ) -> Result<Record, Error> {
        let shared = &self.shared;
        let group = shared.writer.routes.group(&work.record.topic);
        let letter = dead_letter::write(work, &group, attempts, error, &*shared.clock)?;
        let largest = shared.description.largest_record;
        // A received record may be larger than those that kser creates. Then its topics say what they take.
        Ok(match work.record.size() > largest {
            true => letter,
            false => dead_letter::within(letter, largest),
        })
    }

    /// Waits for a consumer that understands the message, as in a rolling deploy.
    pub(crate) fn look_again(&self, work: &mut DeliveryState) -> Disposition {
        let clock = &*self.shared.clock;
        let now = clock.now();
        let since = *work.waits_since.get_or_insert(now);
        let left = self.options.unknown_wait.saturating_sub(now.since(since));
        // A message of a newer version waits without end.
        let pause = match left.is_zero() {
            true => LOOK_AGAIN,
            false => LOOK_AGAIN.min(left),
        };
        Disposition::ack_with(vec![self.delayed(work, pause)])
    }

    /// The same record, to be delivered later, within what the transport takes.
    pub(crate) fn delayed(&self, work: &DeliveryState, wait: Duration) -> Record {
        let shared = &self.shared;
        work.delayed_within(wait, &*shared.clock, shared.description.largest_record)
    }

    /// Says whether a message that no consumer understands may still wait. One that is as large as a record may be cannot:
    /// nothing could be written beside it.
    pub(crate) fn may_wait(&self, work: &mut DeliveryState) -> bool {
        let shared = &self.shared;
        let now = shared.clock.now();
        let since = *work.waits_since.get_or_insert(now);
        let is_over = now.since(since) >= self.options.unknown_wait;
        !is_over && self.delayed(work, Duration::ZERO).size() <= shared.description.largest_record
    }

    /// Delays a message whose entrypoint has no handler here, for a consumer that has one, as in a rolling deploy; gives it
    /// up when it has waited for so long.
    async fn unknown(
        &self,
        work: &mut DeliveryState,
        message: &Message,
    ) -> Result<Disposition, Error> {
        if self.may_wait(work) {
            tracing::warn!(
                target: "kser",
                topic = %work.record.topic,
                "no handler for {}: it waits",
                kser_core::log::clean(message.entrypoint.as_str(), 200),
            );
            return Ok(self.look_again(work));
        }
        if is_external(message) {
            return Ok(run_elsewhere(message));
        }
        // The text of the Python library, to the letter.
        let text = format!("Entrypoint '{}' not registred", message.entrypoint);
        let outcome = Outcome::from(&TaskError::validation(text));
        self.give_up(work, message, outcome).await
    }

    /// Fails a run whose name is that of a task: a task has no steps, so that it is sent, not launched.
    async fn launched_task(
        &self,
        work: &DeliveryState,
        message: &Message,
    ) -> Result<Disposition, Error> {
        let text = format!(
            "{} is a task, not an operation: send it, or launch it as the step of an operation",
            message.entrypoint
        );
        let outcome = Outcome::from(&TaskError::validation(text));
        self.give_up(work, message, outcome).await
    }

    /// The rules have no operations within operations: what is a step is run by a task.
    async fn nested(&self, work: &DeliveryState, message: &Message) -> Result<Disposition, Error> {
        if is_external(message) {
            return Ok(run_elsewhere(message));
        }
        let text = format!(
            "{} is an operation, which cannot be a step of another",
            message.entrypoint
        );
        let outcome = Outcome::from(&TaskError::validation(text));
        self.give_up(work, message, outcome).await
    }

    /// Writes the dead letter of a message that nobody ran, and ends its run.
    pub(crate) async fn give_up(
        &self,
        work: &DeliveryState,
        message: &Message,
        outcome: Outcome,
    ) -> Result<Disposition, Error> {
        let limit = self.shared.writer.limits.outcome;
        let outcome = super::ending::named(outcome, message).cut_to(limit);
        let error = dead_letter::text(&outcome);
        let letter = self.dead_letter(work, work.tries.failed, &error)?;
        let longest = self.shared.log.longest();
        let (entrypoint, uuid) = (&message.entrypoint, &message.uuid);
        kser_core::log::failed("Controller", entrypoint, uuid, &outcome, longest);
        let Some(envelope) = message.metadata.envelope() else {
            return Ok(Disposition::ack_with(vec![letter]));
        };
        let run = self.run_of(message, envelope)?;
        if let (true, Some(stored)) = (envelope.launch, &run.stored)
            && Box::pin(self.insert(stored, work, message))
                .await?
                .is_none()
        {
            return self.other_content(work, message);
        }
        let step = step_key(message, envelope.step);
        // What comes after it does not matter, nor whether it can be read.
        let mut known = seen_alone(message, envelope);
        loop {
            let event = Event::GivenUp {
                step: step.clone(),
                outcome: outcome.clone(),
                seen: super::execution::seen(message),
            };
            match run.apply_to(known, event, WriteExtras::default()).await? {
                SwapOutcome::Applied(applied) => {
                    let near = applied.before.near();
                    let before = &applied.before.progress;
                    let mut records = run.records(before, &applied.after, near)?;
                    if applied.after.effects.contains(&Effect::DeadLetter) {
                        let made = applied.after.progress.made_attempts();
                        let made = made.saturating_add(work.tries.failed);
                        records.push(self.dead_letter(work, made, &error)?);
                    }
                    return Ok(Disposition::ack_with(records));
                }
                SwapOutcome::Conflict(Some(actual)) => known = run.known_at(actual).await?,
                // Somebody runs it, who may still succeed.
                SwapOutcome::Rejected(Rejected::Leased { until }, _) => {
                    let wait = until.since(run.now());
                    return Ok(Disposition::RetryIn(wait.min(self.options.longest_park)));
                }
                SwapOutcome::Conflict(None) | SwapOutcome::Rejected(..) => {
                    return Ok(Disposition::ack_with(vec![letter]));
                }
            }
        }
    }

    /// The run of which a message is a step, or which it asks for.
    pub(crate) fn run_of(&self, message: &Message, envelope: &Envelope) -> Result<Run<'_>, Error> {
        let shared = &self.shared;
        let of = RunRef::of_message(
            envelope.run.clone(),
            envelope.name.clone(),
            envelope.mode,
            message,
        );
        let stored = match (envelope.mode, &shared.store) {
            (Mode::Stored, Some(store)) => {
                self.must_know(envelope)?;
                Some(Stored { shared, store })
            }
            (Mode::Stored, None) => {
                return Err(Error::NeedsStore {
                    verb: "a step whose state is stored",
                });
            }
            _ => None,
        };
        Ok(Run {
            shared,
            of: Some(of),
            stored,
            rest: None,
            launch: None,
            reply: None,
        })
    }

    /// Refuses a run of another store: whoever has that one will see the message.
    fn must_know(&self, envelope: &Envelope) -> Result<(), Error> {
        let ours = &self.shared.writer.store;
        match &envelope.store {
            Some(store) if Some(store) != ours.as_ref() => Err(Error::Invalid {
                what: format!("operation {}", envelope.run),
                reason: format!("its state is in store {store}, not in the one of this consumer"),
            }),
            _ => Ok(()),
        }
    }

    /// Where the run stood when the message was written.
    pub(crate) fn seen(&self, message: &Message, envelope: &Envelope) -> Result<RunView, Error> {
        let (next, _) = super::execution::next_step(envelope)?;
        Ok(RunView {
            next: next.map(Box::new),
            ..seen_alone(message, envelope)
        })
    }
}

/// Where the run stood when the message was written, with the message's own step alone.
fn seen_alone(message: &Message, envelope: &Envelope) -> RunView {
    let here = (envelope.step > 0).then(|| super::execution::step_of(message, envelope));
    RunView {
        progress: Box::new(Progress::seen(envelope, message.result.clone())),
        here: here.map(Box::new),
        next: None,
    }
}

/// Says whether a message asks for a run.
fn is_launch(message: &Message) -> bool {
    let envelope = message.metadata.envelope();
    envelope.is_some_and(|envelope| envelope.launch)
}

/// Says whether a message is an external step, which is ended by a report.
fn is_external(message: &Message) -> bool {
    let envelope = message.metadata.envelope();
    envelope.is_some_and(|envelope| envelope.reply.is_some())
}

/// Leaves an external step to the person or the service that runs it. Its limit is watched where the state is.
fn run_elsewhere(message: &Message) -> Disposition {
    tracing::debug!(target: "kser", uuid = ?message.uuid, "an external step has no task here; its report ends it");
    Disposition::ack()
}

fn is_step(message: &Message) -> bool {
    let envelope = message.metadata.envelope();
    envelope.is_some_and(|envelope| envelope.step > 0)
}
