//! Waking.

use std::time::Duration;

use kser_core::store::Write;

use super::Inhabitant;
use crate::StoreHarness;

const LONG: Duration = Duration::from_secs(600);

/// `changed` returns when the run's version is no longer the given one.
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
    woken.expect("the waiter is woken").unwrap();
}

/// It returns at once when that is so already.
pub async fn returns_at_once_when_it_has_changed(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "already").await;
    run.swap(Write::new(run.cancelled())).await;
    let waited = run.store.changed(&run.id, run.progress.version());
    let waited = tokio::time::timeout(Duration::from_secs(5), waited).await;
    waited.expect("it has changed").unwrap();
}

/// It may return for no reason.
pub async fn a_waiter_that_is_woken_for_nothing_reads_the_same(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "nothing").await;
    let waiting = run.store.changed(&run.id, run.progress.version());
    let _ = tokio::time::timeout(Duration::from_secs(1), waiting).await;
    assert_eq!(run.read().await, Some(run.progress.clone()));
}
