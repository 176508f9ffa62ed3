//! Publishes the records again that a transport in memory has lost with an earlier process.

use kser_core::sequencing::{Effect, Transition};
use kser_core::store::{RunFilter, RunInfo};
use kser_core::{Error, NotPublished, Status};

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
    for status in [Status::Running, Status::Pending] {
        let mut filter = RunFilter::default().with_status(status);
        loop {
            let page = filter.clone().with_page(filter.skip, PAGE);
            let runs = match stored.store.list(&page).await {
                Ok(runs) => runs,
                Err(error) => return failed(&error),
            };
            filter.skip += runs.len();
            let is_last = runs.len() < PAGE;
            for run in runs.iter().filter(|run| run.progress.updated() < lost) {
                match publish_pending(stored, run).await {
                    Ok(()) => published += 1,
                    Err(error) => failed(&error),
                }
            }
            if is_last {
                break;
            }
        }
    }
    if published > 0 {
        tracing::info!(target: "kser", runs = published, "runs of an earlier process go on");
    }
}

fn failed(error: &Error) {
    tracing::warn!(target: "kser", error = kser_core::log::report(error), "publishing the records of an earlier process failed; a sweep publishes them");
}

async fn publish_pending(stored: Stored<'_>, info: &RunInfo) -> Result<(), Error> {
    let run = run_ref(info)?;
    let view = stored.view(&info.id).await?;
    if view.progress.revision() != info.progress.revision() {
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
