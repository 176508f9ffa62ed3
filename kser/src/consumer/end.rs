use kser_core::sequencing::{
    Effect, Event, PlannedStep, Progress, Rejected, StepKey, Transition, apply, carried,
};
use kser_core::store::{Attempt, OutputId};
use kser_core::{
    Context, Error, Message, Object, Outcome, Plan, Record, RunId, TaskError, Timestamp, Topic,
};

use super::decide::{Job, STEP_ENDED};
use super::decision::{Decision, Done};
use super::letters;
use super::run::Run;
use super::task::{Product, Task};
use super::work::Work;
use super::worker::Worker;
use crate::post::too_large;
use crate::stored::{Along, Known, Stored, Tried};

/// An attempt that has ended.
#[derive(Debug)]
pub(super) struct Attempted {
    /// The number that fences it.
    pub(super) attempt: u32,
    /// Which attempt it was for the retry policy.
    pub(super) counted: u32,
    pub(super) began: Timestamp,
}

/// What follows the end of an attempt, written out.
#[derive(Debug, Default)]
struct Written {
    /// The run's own records.
    records: Vec<Record>,
    /// What the handler sends.
    sent: Vec<Record>,
}

/// How it ended, as an event.
#[derive(Debug)]
struct Ending {
    outcome: Outcome,
    retry_at: Option<Timestamp>,
    /// Set if the attempt was a build: its steps, if it succeeded.
    build: Option<Option<Vec<PlannedStep>>>,
}

impl Ending {
    fn event(&self, step: &StepKey, attempt: u32) -> Event {
        let (outcome, retry_at) = (self.outcome.clone(), self.retry_at);
        match &self.build {
            None => Event::Ended {
                step: step.clone(),
                attempt,
                outcome,
                retry_at,
            },
            Some(Some(plan)) => Event::Built {
                attempt,
                steps: u32::try_from(plan.len()).unwrap_or(u32::MAX),
            },
            Some(None) => Event::NotBuilt {
                attempt,
                outcome,
                retry_at,
            },
        }
    }

    /// Turns it into a failure for good.
    fn refuse(&mut self, error: &Error) {
        self.outcome = too_large(error);
        self.retry_at = None;
        self.build = self.build.take().map(|_| None);
    }
}

impl Worker {
    /// Takes what a handler returned, and decides what follows. What the rules make of it is written first.
    pub(super) async fn end(
        &self,
        work: &mut Work,
        mut task: Box<Task<'_>>,
        mut known: Known,
        attempted: Attempted,
        ctx: &Context,
        returned: Result<Product, TaskError>,
    ) -> Result<Decision, Error> {
        let mut ending = self.ending(work, &task, &attempted, returned);
        open_plan(&mut task, &mut known, &ending);
        let mut refused = false;
        loop {
            let event = ending.event(&task.step, attempted.attempt);
            let mut after = match apply(&known.progress, known.near(), event, task.run.now()) {
                Ok(after) => after,
                Err(rejected) => return Ok(not_ours(task.message, &rejected)),
            };
            let again = take_retry(&mut after, task.step.position);
            let written = match self.written(&task, &known, &after, ctx, &ending) {
                Ok(written) => written,
                Err(error) if !refused => {
                    refused = true;
                    ending.refuse(&error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Carried, it is written with the records.
            if let (true, Some(stored), Some(of)) = (after.changed, task.run.stored, &task.run.of) {
                let along = self.along(&task, &attempted, &ending, &after, &written.sent);
                let wrote = Box::pin(self.surely(stored, &of.id, &known, &after, along)).await;
                match wrote {
                    Wrote::Yes => {}
                    Wrote::Elsewhere(actual) => {
                        known = Box::pin(task.run.known_at(actual)).await?;
                        continue;
                    }
                    Wrote::Gone => return Ok(Decision::quiet()),
                }
            }
            return match again {
                Some(not_before) => Ok(self.again(work, &task, &after, written, not_before)),
                None => self.ended(work, &task, &attempted, &after, written),
            };
        }
    }

    /// What the handler returned, as the end of an attempt; the retry policy has its say here.
    fn ending(
        &self,
        work: &mut Work,
        task: &Task<'_>,
        attempted: &Attempted,
        returned: Result<Product, TaskError>,
    ) -> Ending {
        let run = &task.run;
        let build = matches!(task.job, Job::Build(_)).then_some(None);
        let (outcome, error) = match returned {
            Ok(Product::Plan(plan)) => match fits(run, &plan) {
                Ok(()) => {
                    return Ending {
                        outcome: Outcome::default(),
                        retry_at: None,
                        build: Some(Some(plan.into_steps())),
                    };
                }
                Err(error) => (too_large(&error), None),
            },
            Ok(Product::Outcome(outcome)) => {
                let error = outcome.error();
                (outcome, error)
            }
            Err(error) => (Outcome::from(&error), Some(error)),
        };
        let now = run.now();
        let retry_at = error.and_then(|error| {
            let first = work.tries.first.or(Some(now));
            task.job
                .retry_at(task.message, attempted.counted, &error, first, now)
        });
        if !outcome.is_success() {
            work.tries.first.get_or_insert(now);
            work.tries.last = Some(now);
        }
        Ending {
            outcome,
            retry_at,
            build,
        }
    }

    /// Writes all that follows, within the limits, before anything is written to the store.
    fn written(
        &self,
        task: &Task<'_>,
        known: &Known,
        after: &Transition,
        ctx: &Context,
        ending: &Ending,
    ) -> Result<Written, Error> {
        let run = &task.run;
        let left = match ending.outcome.is_success() && ending.build.is_none() {
            true => after.progress.outcome(),
            false => &ending.outcome,
        };
        let limit = run.shared.post.limits.outcome;
        let size = left.encoded_len();
        if size > limit {
            return Err(Error::TooLarge {
                what: "bytes of the outcome",
                size,
                limit,
            });
        }
        let mut records = run.records(&known.progress, after, known.near())?;
        if let Some(topic) = run
            .reply
            .as_ref()
            .filter(|_| after.progress.status().is_terminal())
        {
            records.push(report(task, topic, after)?);
        }
        let mut sent = Vec::new();
        if ending.outcome.is_success() {
            for output in ctx.outputs() {
                sent.push(
                    run.shared
                        .post
                        .output(&output, run.shared.mode, run.now())?,
                );
            }
        }
        for record in records.iter().chain(&sent) {
            self.fits_transport(record)?;
        }
        Ok(Written { records, sent })
    }

    fn fits_transport(&self, record: &Record) -> Result<(), Error> {
        let limit = self.connection.shared().description.largest_record;
        match record.size() {
            size if size > limit => Err(Error::TooLarge {
                what: "bytes of the record",
                size,
                limit,
            }),
            _ => Ok(()),
        }
    }

    fn along(
        &self,
        task: &Task<'_>,
        attempted: &Attempted,
        ending: &Ending,
        after: &Transition,
        sent: &[Record],
    ) -> Along {
        if task.run.stored.is_none() {
            return Along::default();
        }
        let outcome = match (&ending.build, ending.outcome.is_success()) {
            (None, true) => after.progress.outcome().clone(),
            _ => ending.outcome.clone(),
        };
        let mut attempt = Attempt::new(
            task.step.position,
            task.step.entrypoint.clone(),
            attempted.attempt,
            task.run.now(),
            outcome,
        );
        attempt.started = Some(attempted.began);
        attempt.worker = self.owner.instance.to_string();
        Along {
            plan: ending.build.as_ref().and_then(Clone::clone),
            attempt: Some(attempt),
            outputs: sent.to_vec(),
        }
    }

    /// Writes a transition where the state is stored, however long the store does not answer: what a handler left is not
    /// thrown away.
    async fn surely(
        &self,
        stored: Stored<'_>,
        run: &RunId,
        known: &Known,
        after: &Transition,
        along: Along,
    ) -> Wrote {
        let mut tries = 0;
        loop {
            let write = stored.write(run, known.clone(), after.clone(), along.clone());
            match write.await {
                Ok(Tried::Applied(_)) => return Wrote::Yes,
                // Written by a try whose answer was lost.
                Ok(Tried::Conflict(Some(actual))) if tries > 0 && *actual == after.progress => {
                    return Wrote::Yes;
                }
                Ok(Tried::Conflict(Some(actual))) => return Wrote::Elsewhere(actual),
                Ok(Tried::Conflict(None) | Tried::Rejected(..)) => return Wrote::Gone,
                Err(error) => {
                    tracing::error!(%error, tries, "the end of an attempt is not written yet");
                    tokio::select! {
                        biased;
                        () = self.kill.cancelled() => return Wrote::Gone,
                        () = tokio::time::sleep(super::worker::backoff(tries)) => {}
                    }
                    tries += 1;
                }
            }
        }
    }

    /// The step is over: what follows goes out with the end of its delivery.
    fn ended(
        &self,
        work: &Work,
        task: &Task<'_>,
        attempted: &Attempted,
        after: &Transition,
        written: Written,
    ) -> Result<Decision, Error> {
        let progress = &after.progress;
        let outcome = progress.last_outcome();
        let (entrypoint, uuid) = (&task.message.entrypoint, &task.message.uuid);
        let failed = after.effects.contains(&Effect::DeadLetter);
        let Written { mut records, sent } = written;
        match failed {
            true => kser_core::log::failed("Controller", entrypoint, uuid, outcome),
            false => kser_core::log::success("Controller", entrypoint, uuid, outcome),
        }
        if failed && task.run.reply.is_none() {
            let error = letters::text(outcome);
            records.push(self.letter(work, attempted.counted, &error)?);
        }
        let relayed = match task.run.id().filter(|_| task.run.stored.is_some()) {
            Some(run) => output_ids(run, progress.version(), sent.len()),
            None => Vec::new(),
        };
        records.extend(sent);
        Ok(Decision::Done(Done { records, relayed }))
    }

    /// The step is tried again: the ticket in hand is the publication that was asked for, if the wait is short.
    fn again(
        &self,
        work: &mut Work,
        task: &Task<'_>,
        after: &Transition,
        mut written: Written,
        not_before: Option<Timestamp>,
    ) -> Decision {
        let now = task.run.now();
        let until = not_before.unwrap_or(now);
        tracing::info!(
            uuid = %task.message.uuid,
            entrypoint = %task.message.entrypoint,
            attempts = after.progress.counted_attempts(),
            wait_ms = u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX),
            "an attempt failed and is followed by another",
        );
        if task.run.stored.is_none() {
            work.failed(now);
        }
        if until.since(now) <= self.options.longest_park && written.records.is_empty() {
            return Decision::Later(until);
        }
        written.records.push(work.delayed(until));
        Decision::done(written.records)
    }

    /// The consumer stops before the handler has ended: the attempt is given back and does not count.
    pub(super) async fn interrupted(
        &self,
        work: &mut Work,
        task: &Task<'_>,
        known: Known,
        attempted: &Attempted,
    ) -> Result<Decision, Error> {
        let run = &task.run;
        let event = Event::Interrupted {
            step: task.step.clone(),
            attempt: attempted.attempt,
        };
        if run.stored.is_some()
            && let Tried::Conflict(Some(actual)) =
                run.apply_to(known, event.clone(), Along::default()).await?
        {
            let known = run.known_at(actual).await?;
            let _ = run.apply_to(known, event, Along::default()).await?;
        }
        Ok(match work.counted {
            0 => Decision::Back,
            _ => Decision::done(vec![work.delayed(run.now())]),
        })
    }

    /// What follows an event that began no attempt.
    pub(super) fn follow(
        &self,
        work: &Work,
        mut records: Vec<Record>,
        after: &Transition,
    ) -> Result<Decision, Error> {
        if after.effects.contains(&Effect::DeadLetter) {
            let text = letters::text(after.progress.last_outcome());
            records.push(self.letter(work, after.progress.attempts(), &text)?);
        }
        Ok(Decision::done(records))
    }

    /// The rules do not let the step begin.
    pub(super) fn not_now(
        &self,
        work: &mut Work,
        run: &Run<'_>,
        rejected: &Rejected,
        known: Known,
    ) -> Result<Decision, Error> {
        let now = run.now();
        let park = self.options.longest_park;
        Ok(match rejected {
            Rejected::Suspect => Decision::Alone,
            Rejected::NotYet { until } if until.since(now) > park => {
                Decision::done(vec![work.delayed(*until)])
            }
            Rejected::NotYet { until } => {
                work.known = Some(known);
                Decision::Later(*until)
            }
            Rejected::Leased { until } => {
                let lease = known.progress.lease();
                if lease.is_some_and(|lease| lease.owner.supersedes(&self.owner)) {
                    self.superseded.cancel();
                }
                Decision::Later((*until).min(now + park))
            }
            Rejected::Ahead { position } => {
                tracing::warn!(run = ?run.id(), position, "a step is ahead of its run's state: it waits");
                Decision::Later(now + park)
            }
            Rejected::UnknownStep => {
                let error = "the operation has no such step";
                Decision::done(vec![self.letter(work, 0, error)?])
            }
            _ => Decision::quiet(),
        })
    }
}

/// Makes the first steps of a plan known to the rules, and the others ready to ride along.
fn open_plan(task: &mut Task<'_>, known: &mut Known, ending: &Ending) {
    let (Job::Build(entry), Some(Some(plan))) = (task.job, &ending.build) else {
        return;
    };
    let progress = known.progress.clone();
    *known.progress = progress.with_status_hook(entry.has_status_hook());
    known.next = plan.first().cloned().map(Box::new);
    if task.run.stored.is_none() {
        let rest = plan.get(1..).filter(|rest| !rest.is_empty());
        task.run.rest = rest
            .zip(task.run.id())
            .map(|(rest, id)| carried::encode(id, rest));
    }
}

fn fits(run: &Run<'_>, plan: &Plan) -> Result<(), Error> {
    let limit = run.shared.post.limits.steps as usize;
    match plan.steps().len() {
        size if size > limit => Err(Error::TooLarge {
            what: "number of steps of the operation",
            size,
            limit,
        }),
        _ => Ok(()),
    }
}

fn output_ids(run: &RunId, version: u64, count: usize) -> Vec<OutputId> {
    let indexes = 0..u32::try_from(count).unwrap_or(u32::MAX);
    let id = |index| OutputId {
        run: run.clone(),
        version,
        index,
    };
    indexes.map(id).collect()
}

/// What came of writing the end of an attempt.
enum Wrote {
    Yes,
    Elsewhere(Box<Progress>),
    Gone,
}

/// Takes the publication of the step at hand out of the effects: the delivery at hand stands for it.
fn take_retry(after: &mut Transition, here: u32) -> Option<Option<Timestamp>> {
    let mut retry = None;
    after.effects.retain(|effect| match effect {
        Effect::Publish {
            position,
            not_before,
        } if *position == here => {
            retry = Some(*not_before);
            false
        }
        _ => true,
    });
    retry
}

fn not_ours(message: &Message, rejected: &Rejected) -> Decision {
    tracing::warn!(uuid = %message.uuid, %rejected, "what an attempt left is not accepted");
    Decision::quiet()
}

/// The end of someone else's step, as a message to them.
fn report(task: &Task<'_>, topic: &Topic, after: &Transition) -> Result<Record, Error> {
    let message = task.message;
    let mut report = Message::new(message.uuid.clone(), STEP_ENDED.into(), Object::default());
    report.result = after.progress.last_outcome().clone();
    report.metadata = message.metadata.clone();
    let payload = task.run.shared.post.sized(&report)?;
    let key = message
        .metadata
        .envelope()
        .map(|envelope| envelope.run.to_string());
    let record = Record::new(topic.clone(), Some(payload));
    Ok(match key {
        Some(key) => record.with_key(key),
        None => record,
    })
}
