//! Publishes the records again that a transport in memory has lost with an earlier process.

use std::collections::BTreeSet;

use kser_core::sequencing::{Effect, Transition};
use kser_core::store::{RunFilter, RunInfo};
use kser_core::{Error, NotPublished, RunId, Status, Timestamp};

use crate::engine::stored::{Stored, run_ref};

/// The number of runs that are read from the store at once.
const PAGE: usize = 100;

/// Publishes the pending step of each run that has not changed since before the transport began, so that a consumer need not
/// wait until its sweep finds that the run does not move. It is done once for a client.
///
/// Nothing is written: a record that another process still has is a copy, and of two copies one begins the step.
pub(crate) async fn publish_lost_records(stored: Stored<'_>) {
    let Some(lost) = stored.shared.lost_records.take() else {
        return;
    };
    let mut known = BTreeSet::new();
    let mut published = 0;
    // Runs that change while the pages are read move others to pages that were read before. So nothing is published before all
    // pages are read; and they are read again, since other processes may have changed runs.
    loop {
        let runs = match pending(stored, lost, &known).await {
            Ok(runs) if runs.is_empty() => break,
            Ok(runs) => runs,
            Err(error) => return failed(&error),
        };
        for run in runs {
            match publish_pending(stored, &run, lost).await {
                Ok(()) => published += 1,
                Err(error) => failed(&error),
            }
            known.insert(run);
        }
    }
    if published > 0 {
        tracing::info!(target: "kser", runs = published, "runs of an earlier process go on");
    }
}

/// Lists the runs that have not changed since `lost`, but for those that are known.
async fn pending(
    stored: Stored<'_>,
    lost: Timestamp,
    known: &BTreeSet<RunId>,
) -> Result<BTreeSet<RunId>, Error> {
    let mut pending = BTreeSet::new();
    for status in [Status::Running, Status::Pending] {
        let mut filter = RunFilter::default().with_status(status);
        loop {
            let page = filter.clone().with_page(filter.skip, PAGE);
            let runs = stored.store.list(&page).await?;
            filter.skip += runs.len();
            let is_last = runs.len() < PAGE;
            let old = |run: &RunInfo| run.progress.updated() < lost && !known.contains(&run.id);
            pending.extend(runs.into_iter().filter(old).map(|run| run.id));
            if is_last {
                break;
            }
        }
    }
    Ok(pending)
}

fn failed(error: &Error) {
    tracing::warn!(target: "kser", error = kser_core::log::report(error), "publishing the records of an earlier process failed; a sweep publishes them");
}

async fn publish_pending(stored: Stored<'_>, id: &RunId, lost: Timestamp) -> Result<(), Error> {
    let Some(info) = stored.store.run(id).await? else {
        return Ok(());
    };
    let run = run_ref(&info)?;
    let view = stored.view(id).await?;
    if view.progress.updated() >= lost {
        return Ok(());
    }
    let publish = Effect::Publish {
        position: view.progress.position(),
        not_before: view.progress.not_before(),
    };
    let unchanged = Transition::new((*view.progress).clone(), vec![publish]);
    let records = stored.records(&run, &view, &unchanged, Some(&info.launch))?;
    let published = stored.shared.publish(stored.to_local_clock(records)).await;
    published.map_err(NotPublished::into_error)
}
