//! Publishes the records again that a transport in memory has lost with an earlier process.

use kser_core::sequencing::{Effect, Transition};
use kser_core::store::RunFilter;
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
    let mut published = 0;
    // A run whose status changes between the two lists has changed since the transport began.
    for status in [Status::Running, Status::Pending] {
        match publish_all(stored, status, lost).await {
            Ok(runs) => published += runs,
            Err(error) => return failed(&error),
        }
    }
    if published > 0 {
        tracing::info!(target: "kser", runs = published, "runs of an earlier process go on");
    }
}

/// Publishes the pending steps of the runs with a status, page by page. Returns the number of runs.
async fn publish_all(stored: Stored<'_>, status: Status, lost: Timestamp) -> Result<usize, Error> {
    let mut filter = RunFilter::default().with_status(status).with_limit(PAGE);
    let mut published = 0;
    loop {
        let page = stored.store.list(&filter).await?;
        for run in page.rows.iter().filter(|run| run.updated < lost) {
            match publish_pending(stored, &run.id, lost).await {
                Ok(()) => published += 1,
                Err(error) => failed(&error),
            }
        }
        if page.next.is_none() {
            return Ok(published);
        }
        filter = filter.with_after(page.next);
    }
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
