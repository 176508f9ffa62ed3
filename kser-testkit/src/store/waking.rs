//! Waking.

use crate::rules::store_sentences::sentence;
use std::time::Duration;

use kser_core::store::{OUTPUT_PATIENCE, Write};

use super::{ALL, Inhabitant, NO_CLAIM, output};
use crate::StoreHarness;

const LONG: Duration = Duration::from_secs(120);

#[doc = sentence!(wakes_when_the_run_changes)]
pub async fn wakes_when_the_run_changes(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "wake").await;
    let (store, id, version) = (run.store.clone(), run.id.clone(), run.progress.version());
    let waiting = tokio::spawn(async move {
        while store
            .read(&id)
            .await
            .unwrap()
            .value
            .progress()
            .unwrap()
            .version()
            == version
        {
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
        while store.read(&id).await.unwrap().value.progress().is_some() {
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

#[doc = sentence!(returns_at_once_when_it_has_changed)]
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

#[doc = sentence!(wakes_when_the_run_ends)]
pub async fn wakes_when_the_run_ends(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "end").await;
    let (store, id) = (run.store.clone(), run.id.clone());
    let waiting = tokio::spawn(async move {
        loop {
            let progress = store.await_end(&id).await.unwrap().value.unwrap();
            if progress.status().is_terminal() {
                return progress;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ended = run.cancelled();
    run.swap(Write::new(ended.clone())).await;
    let woken = tokio::time::timeout(LONG, waiting).await;
    let progress = woken.expect("the end wakes the caller that waits").unwrap();
    assert_eq!(progress, ended);
    let again = tokio::time::timeout(LONG, run.store.await_end(&run.id)).await;
    let again = again.expect("the run has ended before").unwrap();
    assert_eq!(again.value, Some(ended));
    assert!(run.store.purge(&run.id).await.unwrap());
    for absent in [run.id, harness.id("absent")] {
        let absent = tokio::time::timeout(LONG, run.store.await_end(&absent)).await;
        let absent = absent.expect("there is no such run").unwrap();
        assert_eq!(absent.value, None);
    }
}

#[doc = sentence!(wakes_when_something_is_due)]
pub async fn wakes_when_something_is_due(harness: &StoreHarness) {
    let late = Inhabitant::due_in(harness, "late", 2 * LONG).await;
    let store = late.store.clone();
    let (topic, expected) = (harness.topic(), harness.id("soon"));
    let waiting = tokio::spawn(async move {
        loop {
            let due = store
                .due(&topic, Duration::ZERO, ALL, NO_CLAIM)
                .await
                .unwrap();
            if due.value.iter().any(|due| due.info.id == expected) {
                return;
            }
            store.await_due().await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let soon = Inhabitant::due_in(harness, "soon", Duration::from_secs(2)).await;
    let woken = tokio::time::timeout(LONG, waiting).await;
    woken.expect("a run is due that was written later").unwrap();
    // Neither run is due any more.
    soon.swap(Write::new(soon.cancelled())).await;
    let mut write = Write::new(late.cancelled());
    write.outputs = vec![output("a")];
    late.swap(write).await;
    let due = async {
        while late
            .store
            .outputs_due(ALL, NO_CLAIM)
            .await
            .unwrap()
            .value
            .is_empty()
        {
            late.store.await_due().await.unwrap();
        }
    };
    let woken = tokio::time::timeout(OUTPUT_PATIENCE + LONG, due).await;
    woken.expect("an output is due");
}
