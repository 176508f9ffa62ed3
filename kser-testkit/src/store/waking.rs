//! Waking.

use std::time::Duration;

use kser_core::store::Write;

use super::Inhabitant;
use crate::StoreHarness;

const LONG: Duration = Duration::from_secs(120);

/// `changed` returns when the run's version is no longer the given one, or the run is purged.
pub async fn wakes_when_the_run_changes(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "wake").await;
    let (store, id, version) = (run.store.clone(), run.id.clone(), run.progress.version());
    let waiting = tokio::spawn(async move {
        while store.read(&id).await.unwrap().value.unwrap().version() == version {
            store.changed(&id, version).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    run.swap(Write::new(run.cancelled())).await;
    let woken = tokio::time::timeout(LONG, waiting).await;
    woken.expect("who waits is woken by a change").unwrap();
    let (store, id, version) = (
        run.store.clone(),
        run.id.clone(),
        run.progress.version() + 1,
    );
    let waiting = tokio::spawn(async move {
        while store.read(&id).await.unwrap().value.is_some() {
            store.changed(&id, version).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(run.store.purge(&run.id).await.unwrap());
    let woken = tokio::time::timeout(LONG, waiting).await;
    woken
        .expect("who waits is woken when the run is purged")
        .unwrap();
}

/// It returns at once when that is so already, or there is no such run.
pub async fn returns_at_once_when_it_has_changed(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "already").await;
    run.swap(Write::new(run.cancelled())).await;
    let waited = run.store.changed(&run.id, run.progress.version());
    let waited = tokio::time::timeout(Duration::from_secs(5), waited).await;
    waited.expect("it has changed").unwrap();
    let nobody = harness.id("nobody");
    let nobody = run.store.changed(&nobody, 1);
    let waited = tokio::time::timeout(Duration::from_secs(5), nobody).await;
    waited
        .expect("a run that is not there has no version")
        .unwrap();
}
