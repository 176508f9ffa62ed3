use std::time::Duration;

use kser_core::sequencing::{Effect, Event, StepKey};
use kser_core::store::OutputId;
use kser_core::{Error, Record, RunId, Topic};
use tokio::time::sleep;

use super::letters;
use super::options::Options;
use super::queues::Queues;
use super::work::Work;
use crate::connection::Shared;
use crate::post::RunRef;
use crate::refusal;
use crate::stored::{Known, Stored, run_ref};

/// How many runs or outputs one look takes.
const AT_ONCE: usize = 100;

/// Publishes again what does not move: what was lost between the write of a state and its publication. What merely waits
/// in a long queue is left alone. Looks at once and then every so often, for ever.
pub(crate) async fn sweep(shared: &Shared, options: &Options, queues: &Queues) {
    let Some(store) = &shared.store else {
        return std::future::pending().await;
    };
    let stored = Stored { shared, store };
    loop {
        if let Err(error) = sweep_once(stored, queues).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(target: "kser", error, "a sweep failed; the next one goes on");
        }
        sleep(options.sweep_every).await;
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

/// Sweeps the runs that wait for a record of a topic whose oldest record has waited so long.
async fn sweep_topic(stored: Stored<'_>, topic: &Topic, waited: Duration) -> Result<(), Error> {
    loop {
        let due = stored.store.due(topic, waited, AT_ONCE).await?;
        let due = stored.shared.store_clock.heard(due);
        for id in &due {
            match nudge(stored, id).await {
                Err(error) if !error.is_temporary() => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(target: "kser", run = ?id, error, "a run that does not move cannot be published again");
                }
                other => other?,
            }
        }
        if due.len() < AT_ONCE {
            return Ok(());
        }
    }
}

/// Of many sweepers one wins the swap, and publishes.
async fn nudge(stored: Stored<'_>, id: &RunId) -> Result<(), Error> {
    let Some(info) = stored.store.run(id).await? else {
        return Ok(());
    };
    let run = run_ref(&info)?;
    let swept = stored.carry_out(&run, Some(&info.launch), |_| Event::Swept, |_, _| Ok(()));
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

/// The topic of the pending step does not take its message: the run ends here, until someone retries it.
async fn unsendable(stored: Stored<'_>, run: &RunRef, error: &Error) -> Result<(), Error> {
    tracing::error!(target: "kser", run = ?run.id, %error, "a step cannot be sent");
    let ended = |known: &Known| {
        let outcome = refusal::outcome(error);
        match &known.here {
            Some(here) if here.external.is_some() => Event::Reported {
                step: here.key.clone(),
                outcome,
                seen: known.progress.version(),
            },
            here => Event::GivenUp {
                step: here
                    .as_ref()
                    .map_or_else(the_build, |here| here.key.clone()),
                outcome,
                seen: known.progress.version(),
            },
        }
    };
    let ended = stored.carry_out(run, None, ended, |_, _| Ok(())).await?;
    ended.published.map_err(kser_core::NotPublished::into_error)
}

/// The build, which is told by its place alone.
fn the_build() -> StepKey {
    StepKey {
        position: 0,
        uuid: "".into(),
        entrypoint: "".into(),
    }
}

/// Publishes the outputs that their writer did not. Those that cannot be published do not hold up the others, nor have them
/// published twice.
async fn relay(stored: Stored<'_>) -> Result<(), Error> {
    loop {
        let due = stored.store.outputs_due(AT_ONCE).await?;
        let due = stored.shared.store_clock.heard(due);
        if due.is_empty() {
            return Ok(());
        }
        let (ids, records): (Vec<OutputId>, Vec<_>) = due
            .into_iter()
            .map(|output| (output.id, here(stored.shared, output.record)))
            .unzip();
        let published = stored.shared.publish(records.clone()).await;
        let failed = published.err().map(|error| error.failed);
        let failed = give_up(stored.shared, &records, failed.unwrap_or_default()).await;
        let sent = (0..ids.len()).filter(|at| failed.iter().all(|(index, _)| index != at));
        let sent: Vec<_> = sent.filter_map(|at| ids.get(at).cloned()).collect();
        stored.store.relayed(&sent).await?;
        if let Some((_, error)) = failed.into_iter().next() {
            return Err(error);
        }
        if ids.len() < AT_ONCE {
            return Ok(());
        }
    }
}

/// Writes dead letters of what its topic does not take. Returns what is not published, nor its letter.
async fn give_up(
    shared: &Shared,
    records: &[Record],
    mut failed: Vec<(usize, Error)>,
) -> Vec<(usize, Error)> {
    let (mut indices, mut letters) = (Vec::new(), Vec::new());
    for (index, error) in failed.iter().filter(|(_, error)| error.is_refused()) {
        if let Some(Ok(letter)) = records
            .get(*index)
            .map(|record| letter(shared, record, error))
        {
            indices.push(*index);
            letters.push(letter);
        }
    }
    if letters.is_empty() {
        return failed;
    }
    let published = shared.publish(letters).await;
    let refused = published.err().map(|error| error.failed);
    for (at, _) in refused.unwrap_or_default().into_iter().rev() {
        indices.remove(at);
    }
    failed.retain(|(index, _)| !indices.contains(index));
    failed
}

/// Has a record that the store kept wait by our clock.
fn here(shared: &Shared, mut record: Record) -> Record {
    record.not_before = record.not_before.map(|at| shared.store_clock.here(at));
    record
}

fn letter(shared: &Shared, record: &Record, error: &Error) -> Result<Record, Error> {
    tracing::error!(target: "kser", topic = %record.topic, %error, "what a handler sends is a dead letter");
    let work = Work::alone(record.clone(), &*shared.clock);
    let group = shared.post.routes.group(&record.topic);
    letters::dead_letter(&work, &group, 0, &error.to_string(), &*shared.clock)
}
