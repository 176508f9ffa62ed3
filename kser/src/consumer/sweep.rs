use kser_core::sequencing::Event;
use kser_core::store::OutputId;
use kser_core::{Error, RunId};
use tokio::time::sleep;

use super::options::Options;
use crate::connection::Shared;
use crate::stored::{Stored, run_ref};

/// How many runs or outputs one look takes.
const AT_ONCE: usize = 100;

/// Publishes again what does not move: what was lost between the write of a state and its publication. Looks at once
/// and then every so often, for ever.
pub(crate) async fn sweep(shared: &Shared, options: &Options) {
    let Some(store) = &shared.store else {
        return std::future::pending().await;
    };
    let stored = Stored { shared, store };
    loop {
        if let Err(error) = sweep_once(stored).await {
            tracing::warn!(%error, "a sweep is cut short");
        }
        sleep(options.sweep_every).await;
    }
}

async fn sweep_once(stored: Stored<'_>) -> Result<(), Error> {
    loop {
        let due = stored.store.due(AT_ONCE).await?;
        let due = stored.shared.store_clock.heard(due);
        for id in &due {
            match nudge(stored, id).await {
                Err(error) if !error.is_temporary() => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(run = ?id, error, "a run that does not move cannot be published again");
                }
                other => other?,
            }
        }
        if due.len() < AT_ONCE {
            break;
        }
    }
    relay(stored).await
}

/// Of many sweepers one wins the swap, and publishes.
async fn nudge(stored: Stored<'_>, id: &RunId) -> Result<(), Error> {
    let applied = match stored.apply(id, |_| Event::Swept).await {
        Ok(applied) => applied,
        Err(Error::UnknownRun { .. } | Error::Rejected { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    if applied.after.effects.is_empty() {
        return Ok(());
    }
    let Some(info) = stored.store.run(id).await? else {
        return Ok(());
    };
    let records = stored.records(&run_ref(&info)?, &applied, Some(&info.launch))?;
    tracing::info!(run = ?id, "a run that did not move is published again");
    let published = stored.shared.publish(records).await;
    published.map_err(kser_core::NotPublished::into_error)
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
            .map(|output| (output.id, output.record))
            .unzip();
        let published = stored.shared.publish(records).await;
        let failed = published.err().map(|error| error.failed);
        let failed = failed.unwrap_or_default();
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
