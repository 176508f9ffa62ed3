//! Runs that tests insert and change.

use kser_core::sequencing::{Event, Progress, StepWindow, apply};
use kser_core::store::{Inserted, NewRun, Swapped, Write};
use kser_core::{Error, RunId, StateStore, Status, Topic};

pub(crate) fn id(number: usize) -> RunId {
    format!("run {number}").into()
}

pub(crate) fn new(id: RunId, progress: Progress) -> NewRun {
    let topic = Topic::new("test").unwrap();
    let (launch, digest) = ("launch".into(), "digest".to_owned());
    NewRun::new(id, "test.Run".into(), topic, launch, digest, progress)
}

pub(crate) async fn insert(store: &dyn StateStore, id: RunId) -> Result<Inserted, Error> {
    let now = store.id().await?.now;
    let inserted = store.insert(new(id, Progress::launched(now))).await?;
    Ok(inserted.value)
}

/// Returns the progress after any change: a cancelled run is resumed, another one is cancelled.
pub(crate) fn after(before: &Progress, stamp: u64) -> Progress {
    let event = match before.status() {
        Status::Cancelled => Event::Resumed,
        _ => Event::Cancelled,
    };
    let after = apply(before, StepWindow::default(), event, before.updated()).unwrap();
    after.progress.with_stamp(stamp)
}

/// Changes a run, if no other writer is faster.
pub(crate) async fn change(store: &dyn StateStore, id: &RunId, stamp: u64) -> Result<bool, Error> {
    let before = store.read(id).await?.value.into_progress().unwrap();
    let write = Write::new(after(&before, stamp));
    let swapped = store.swap(id, before.revision(), write).await?;
    Ok(matches!(swapped.value, Swapped::Written(_)))
}
