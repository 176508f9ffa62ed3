use kser_core::sequencing::{Progress, StepKey};
use kser_core::store::{Inserted, NewRun};
use kser_core::{Envelope, Error, Message, Mode, Outcome, TaskError};

use super::execution::StepExecution;
use super::job::Job;
use super::run::{Run, step_key};
use crate::consumer::delivery::disposition::Disposition;
use crate::consumer::delivery::state::DeliveryState;
use crate::consumer::processor::Processor;
use crate::engine::records::{RunRef, digest};
use crate::engine::store_clock::unknown_answer;
use crate::engine::stored::{RunView, Stored};

type Opened<'a> = Result<(Box<StepExecution<'a>>, RunView), Disposition>;

impl Processor {
    /// Finds out what is known of the run that a message asks for. One that nobody has heard of begins here.
    pub(crate) async fn open_launch<'a>(
        &'a self,
        work: &mut DeliveryState,
        message: &'a Message,
        job: Job<'a>,
    ) -> Result<Opened<'a>, Error> {
        if message.metadata.foreign_kser() {
            let text = "metadata.kser is not kser's: an operation cannot be launched with it";
            let outcome = Outcome::from(&TaskError::validation(text));
            return Ok(Err(self.give_up(work, message, outcome).await?));
        }
        let run = self.launched_run(work, message)?;
        let known = match (&run.stored, work.known.take()) {
            (Some(_), Some(known)) => known,
            (Some(stored), None) => match self.insert(stored, work, message).await? {
                Some(known) => known,
                None => return self.other_content(work, message).map(Err),
            },
            (None, _) => self.launched(message, work),
        };
        let task = StepExecution {
            message,
            job,
            run,
            step: StepKey {
                position: 0,
                ..step_key(message, 0)
            },
        };
        Ok(Ok((Box::new(task), known)))
    }

    fn launched_run<'a>(
        &'a self,
        work: &DeliveryState,
        message: &Message,
    ) -> Result<Run<'a>, Error> {
        let shared = &self.shared;
        let launch = work.record.payload.clone();
        if let Some(envelope) = message.metadata.envelope() {
            let run = self.run_of(message, envelope)?;
            return Ok(Run { launch, ..run });
        }
        let of = RunRef {
            id: message.uuid.clone().into(),
            name: message.entrypoint.clone(),
            mode: shared.mode,
            metadata: message.metadata.clone(),
            others: None,
            home: None,
        };
        let store = shared
            .store
            .as_ref()
            .filter(|_| shared.mode == Mode::Stored);
        Ok(Run {
            shared,
            of: Some(of),
            stored: store.map(|store| Stored { shared, store }),
            rest: None,
            launch,
            reply: None,
        })
    }

    /// Keeps a run that came without a row. `None` when there is one with other content.
    pub(crate) async fn insert(
        &self,
        stored: &Stored<'_>,
        work: &DeliveryState,
        message: &Message,
    ) -> Result<Option<RunView>, Error> {
        let envelope = message.metadata.envelope();
        if let Some(envelope) = envelope.filter(|envelope| envelope.store.is_some()) {
            // Its producer has inserted it.
            return self.seen(message, envelope).map(Some);
        }
        let now = stored.shared.store_clock.now();
        let progress = Progress::launched(now).with_step_events(step_events(envelope));
        let progress = progress.with_stamp(stored.shared.next_stamp());
        let run = NewRun::new(
            message.uuid.clone().into(),
            message.entrypoint.clone(),
            stored.shared.writer.routes.topic(&message.entrypoint)?,
            work.record.payload.clone().unwrap_or_default(),
            digest(&message.entrypoint, &message.params.compact()),
            progress.clone(),
        );
        let id = run.id.clone();
        let inserted = stored.store.insert(run).await?;
        Ok(match stored.shared.store_clock.heard(inserted) {
            Inserted::New => Some(RunView {
                progress: Box::new(progress),
                here: None,
                next: None,
            }),
            Inserted::Same(actual) => Some(stored.known_at(&id, actual).await?),
            Inserted::Other => None,
            _ => return Err(unknown_answer()),
        })
    }

    fn launched(&self, message: &Message, work: &DeliveryState) -> RunView {
        let progress = match message.metadata.envelope() {
            Some(envelope) => Progress::seen(envelope, Outcome::default()),
            None => Progress::launched(self.shared.clock.now()),
        };
        RunView {
            progress: Box::new(progress.with_counts(work.tries.failed, work.crash_count)),
            here: None,
            next: None,
        }
    }

    /// The same id with other content leaves the run alone.
    pub(crate) fn other_content(
        &self,
        work: &DeliveryState,
        message: &Message,
    ) -> Result<Disposition, Error> {
        let id = message.uuid.clone().into();
        let error = Error::Conflict { id };
        tracing::error!(target: "kser", topic = %work.record.topic, error = kser_core::log::report(&error), "a launch is refused; its message becomes a dead letter");
        let letter = self.dead_letter(work, 0, &error.report())?;
        Ok(Disposition::ack_with(vec![letter]))
    }
}

fn step_events(envelope: Option<&Envelope>) -> bool {
    envelope.is_some_and(|envelope| envelope.step_events)
}
