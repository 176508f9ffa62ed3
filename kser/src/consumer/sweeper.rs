use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kser_core::sequencing::{Effect, Event, StepKey};
use kser_core::store::{DueRun, OutputId, Standing};
use kser_core::{Error, Metadata, Mode, Record, RunId, Topic};
use tokio::time::{Instant, sleep};

use super::delivery::dead_letter::{self, Reason};
use super::delivery::tracked_record::TrackedRecord;
use super::lost_records::publish_lost_records;
use super::options::Options;
use super::queues::Queues;
use crate::engine::refusal;
use crate::engine::run_ref::RunRef;
use crate::engine::run_view::RunView;
use crate::engine::stored::{Stored, run_ref};
use crate::shared::Shared;

/// The number of runs or outputs that are read from the store at once.
const AT_ONCE: usize = 100;

/// The time for which a sweep claims the runs and outputs that are due. Those that it cannot publish are due again then.
const CLAIM: Duration = Duration::from_secs(30);

/// After how many outputs that cannot be published one look ends.
const MOST_STUCK: usize = 6_400;

/// The time after which a sweep of a topic whose runs fail ends: in an outage each run may fail only after a timeout, and the
/// other topics wait meanwhile.
const LONGEST_FAILING: Duration = Duration::from_secs(120);

/// Sweeps for ever: publishes again the records that were lost between the write of a state and their publication. A run
/// whose record only waits in a long queue is left alone. The first sweep is at once, the next after each sweep interval, as
/// soon as the store says that a run or an output is due.
pub(crate) async fn sweep(shared: &Shared, options: &Options, queues: &Queues) {
    let Some(store) = &shared.store else {
        return std::future::pending().await;
    };
    let stored = Stored { shared, store };
    publish_lost_records(stored).await;
    loop {
        if let Err(error) = sweep_once(stored, queues).await {
            tracing::warn!(target: "kser", error = kser_core::log::report(&error), "a sweep failed; the next one goes on");
        }
        sleep(options.sweep_every).await;
        // An error is ignored, because the next sweep asks the store again and logs the failure.
        let _ = store.await_due().await;
    }
}

async fn sweep_once(stored: Stored<'_>, queues: &Queues) -> Result<(), Error> {
    let mut swept = Ok(());
    for (topic, waited) in queues.read() {
        // The runs of a topic that cannot be written to do not hold up those of the others.
        swept = swept.and(sweep_topic(stored, &topic, waited).await);
    }
    swept.and(relay(stored).await)
}

/// Sweeps the runs that wait for a record of a topic whose oldest record has waited so long. A run that fails does not hold up
/// the others: it is claimed, so that the store lists it again later.
async fn sweep_topic(stored: Stored<'_>, topic: &Topic, waited: Duration) -> Result<(), Error> {
    let mut failing = Failing::default();
    loop {
        let due = stored.store.due(topic, waited, AT_ONCE, CLAIM).await?;
        let due = stored.shared.store_clock.observe(due);
        let is_all = due.len() < AT_ONCE;
        for run in due {
            let (id, since) = (run.info.id.clone(), Instant::now());
            if let Err(error) = look_after(stored, run).await {
                failing.note(&id, error, since.elapsed());
            }
            if failing.spent >= LONGEST_FAILING {
                failing.tell(topic);
                return Ok(());
            }
        }
        if is_all {
            failing.tell(topic);
            return Ok(());
        }
    }
}

/// The runs of a topic that fail in one look, for a reason that may pass.
#[derive(Debug, Default)]
struct Failing {
    count: usize,
    spent: Duration,
    first: Option<(RunId, Error)>,
}

impl Failing {
    fn note(&mut self, id: &RunId, error: Error, spent: Duration) {
        self.count += 1;
        self.spent += spent;
        self.first.get_or_insert_with(|| (id.clone(), error));
    }

    /// Logs the first failure for all of them: an outage makes each run fail in the same way.
    fn tell(self, topic: &Topic) {
        if let Some((run, error)) = self.first {
            tracing::warn!(target: "kser", %topic, run = ?run, failed = self.count, error = kser_core::log::report(&error), "publishing runs that do not move failed; the next sweep tries them again");
        }
    }
}

/// Publishes a run that does not move. A run that fails for good is due later and later.
async fn look_after(stored: Stored<'_>, due: DueRun) -> Result<(), Error> {
    let id = due.info.id.clone();
    match nudge(stored, due).await {
        Err(error) if !error.is_temporary() => {
            tracing::error!(target: "kser", run = ?id, error = kser_core::log::report(&error), "publishing a run that does not move failed; it is tried again later");
            defer(stored, &id).await
        }
        nudged => nudged,
    }
}

/// Defers the next sweep of a run whose records cannot be written, as if they were published.
async fn defer(stored: Stored<'_>, id: &RunId) -> Result<(), Error> {
    let run = RunRef {
        id: id.clone(),
        name: "".into(),
        mode: Mode::Stored,
        metadata: Metadata::default(),
        others: None,
        home: None,
    };
    match stored.apply(&run, |_| Event::Swept).await {
        Err(error) if error.is_temporary() => Err(error),
        _ => Ok(()),
    }
}

/// Of many sweepers one wins the swap, and publishes.
async fn nudge(stored: Stored<'_>, due: DueRun) -> Result<(), Error> {
    let DueRun {
        info, here, next, ..
    } = due;
    let (id, run) = (&info.id, run_ref(&info)?);
    let view = RunView::of_standing(Standing::new(info.progress, here, next));
    let launch = Some(&info.launch);
    let swept = stored.carry_out(&run, view, launch, None, |_| Event::Swept, |_, _| Ok(()));
    let swept = match swept.await {
        Ok(swept) => swept,
        Err(Error::UnknownRun { .. } | Error::Rejected { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    if swept.after.effects.is_empty() {
        return Ok(());
    }
    tracing::info!(target: "kser", run = ?id, "a run that did not move is published again");
    let wants = |effect: &Effect| matches!(effect, Effect::Publish { .. });
    let is_step = swept.after.effects.first().is_some_and(wants);
    match swept.published {
        Ok(()) => Ok(()),
        Err(not) => match not.into_error() {
            error if is_step && error.is_refused() => unsendable(stored, &run, &error).await,
            error => Err(error),
        },
    }
}

/// Ends a run because the topic of its pending step refuses the message. A retry of the step resumes the run.
async fn unsendable(stored: Stored<'_>, run: &RunRef, error: &Error) -> Result<(), Error> {
    tracing::error!(target: "kser", run = ?run.id, error = kser_core::log::report(error), "sending a step failed; its run ends");
    let ended = |view: &RunView| {
        let outcome = refusal::outcome(error);
        match &view.here {
            Some(here) if here.external.is_some() => Event::Reported {
                step: here.key.clone(),
                outcome,
                seen: view.progress.version(),
            },
            here => Event::GivenUp {
                step: here
                    .as_ref()
                    .map_or_else(the_build, |here| here.key.clone()),
                outcome,
                seen: view.progress.version(),
            },
        }
    };
    let view = stored.view(&run.id).await?;
    let ended = stored
        .carry_out(run, view, None, None, ended, |_, _| Ok(()))
        .await?;
    ended.published.map_err(kser_core::NotPublished::into_error)
}

/// Returns the key of the build, which its position alone identifies.
fn the_build() -> StepKey {
    StepKey {
        position: 0,
        uuid: "".into(),
        entrypoint: "".into(),
    }
}

/// Publishes the outputs that their writer did not. Those that cannot be published do not hold up the others: they are claimed,
/// so that the store lists them again later, and no other consumer publishes them at the same time.
async fn relay(stored: Stored<'_>) -> Result<(), Error> {
    let (mut failures, mut first) = (0, None);
    loop {
        let due = stored.store.outputs_due(AT_ONCE, CLAIM).await?;
        let due = stored.shared.store_clock.observe(due);
        let is_all = due.len() < AT_ONCE;
        if due.is_empty() {
            return first.map_or(Ok(()), Err);
        }
        let (ids, records): (Vec<OutputId>, Vec<_>) = due
            .into_iter()
            .map(|output| (output.id, here(stored.shared, output.record)))
            .unzip();
        let published = stored.shared.publish(records.clone()).await;
        let failed = published.err().map(|error| error.failed);
        let failed = give_up(stored.shared, &records, failed.unwrap_or_default()).await;
        let failed: BTreeMap<usize, Error> = failed.into_iter().collect();
        let sent = (0..).zip(ids).filter(|(at, _)| !failed.contains_key(at));
        let sent: Vec<OutputId> = sent.map(|(_, id)| id).collect();
        stored.store.relayed(&sent).await?;
        failures += failed.len();
        first = first.or_else(|| failed.into_values().next());
        if is_all || failures >= MOST_STUCK {
            return first.map_or(Ok(()), Err);
        }
    }
}

/// Writes dead letters of the records that their topics refuse. Returns the failed records, without those whose dead letter
/// is published.
async fn give_up(
    shared: &Shared,
    records: &[Record],
    mut failed: Vec<(usize, Error)>,
) -> Vec<(usize, Error)> {
    let (mut indices, mut dead_letters) = (Vec::new(), Vec::new());
    for (index, error) in failed.iter().filter(|(_, error)| error.is_refused()) {
        if let Some(Ok(dead_letter)) = records
            .get(*index)
            .map(|record| dead_letter_of(shared, record, error))
        {
            indices.push(*index);
            dead_letters.push(dead_letter);
        }
    }
    if dead_letters.is_empty() {
        return failed;
    }
    dead_letter::observe(shared.observer(), &dead_letters);
    let published = shared.publish(dead_letters).await;
    let refused = published.err().map(|error| error.failed);
    // A transport names them in any order.
    let refused: BTreeSet<usize> = refused.into_iter().flatten().map(|(at, _)| at).collect();
    let written = (0..).zip(indices).filter(|(at, _)| !refused.contains(at));
    let written: BTreeSet<usize> = written.map(|(_, index)| index).collect();
    failed.retain(|(index, _)| !written.contains(index));
    failed
}

/// Converts the due time of a record that the store kept from the clock of the store to the local clock.
fn here(shared: &Shared, mut record: Record) -> Record {
    record.not_before = record.not_before.map(|at| shared.store_clock.to_local(at));
    record
}

fn dead_letter_of(shared: &Shared, record: &Record, error: &Error) -> Result<Record, Error> {
    tracing::error!(target: "kser", topic = %record.topic, error = kser_core::log::report(error), "publishing an output failed; it becomes a dead letter");
    let tracked = TrackedRecord::alone(record.clone(), &*shared.clock);
    dead_letter::write(&tracked, 0, &Reason::from(&*error.report()), shared)
}
