//! Purging.

use crate::rules::store_sentences::sentence;
use std::time::Duration;

use kser_core::store::{Attempt, Found, Inserted, OUTPUT_PATIENCE, RunFilter, Swapped, Write};
use kser_core::{Outcome, Status};

use super::{ALL, Inhabitant, NO_CLAIM, new_run, output};
use crate::StoreHarness;

#[doc = sentence!(a_purged_run_is_gone)]
pub async fn a_purged_run_is_gone(harness: &StoreHarness) {
    let neighbour = Inhabitant::with_steps(harness, "purged too", 2).await;
    let run = Inhabitant::with_steps(harness, "purged", 2).await;
    let mut write = Write::new(run.cancelled());
    write.outputs = vec![output("a")];
    write.attempt = Some(Attempt::new(
        1,
        "t".into(),
        1,
        run.now(),
        Outcome::default(),
    ));
    run.swap(write).await;
    assert!(run.store.purge(&run.id).await.unwrap());
    assert_eq!(run.read().await, None);
    let listed = run
        .store
        .list(&RunFilter::default().with_name(harness.operation()))
        .await;
    let listed: Vec<_> = listed
        .unwrap()
        .rows
        .into_iter()
        .map(|info| info.id)
        .collect();
    assert_eq!(listed, std::slice::from_ref(&neighbour.id));
    assert_eq!(run.store.step(&run.id, 1).await.unwrap(), None);
    assert_eq!(run.store.run(&run.id).await.unwrap(), None);
    assert!(
        run.store
            .attempts(&run.id, None, 10)
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    tokio::time::sleep(OUTPUT_PATIENCE + Duration::from_secs(1)).await;
    let due = run.store.outputs_due(ALL, NO_CLAIM).await.unwrap().value;
    assert!(due.iter().all(|due| due.id.run != run.id));
    assert!(
        !run.store.purge(&run.id).await.unwrap(),
        "there is none any more"
    );
    let again = run
        .store
        .insert(new_run(harness, &run.id, "again", run.now()))
        .await;
    assert_eq!(again.unwrap().value, Inserted::New);
    assert_eq!(neighbour.read().await, Some(neighbour.progress.clone()));
    let step = neighbour.store.step(&neighbour.id, 2).await.unwrap();
    assert!(step.is_some(), "the others stay");
}

#[doc = sentence!(a_purged_run_leaves_a_tombstone)]
pub async fn a_purged_run_leaves_a_tombstone(harness: &StoreHarness) {
    let run = purged(harness, "tombstone").await;
    let before = run.store.read(&run.id).await.unwrap();
    let Found::Purged(tombstone) = before.value else {
        panic!("{before:?}");
    };
    assert_eq!(tombstone.name, harness.operation());
    // A store that is encrypted keeps another one than that of the insert.
    assert!(!tombstone.digest.is_empty());
    assert_eq!(tombstone.status, Status::Cancelled);
    assert!(tombstone.purged >= run.now() && tombstone.purged <= before.now);
    let write = Write::new(run.cancelled());
    let swapped = run.swap(write).await;
    assert_eq!(swapped, Swapped::Conflict(Found::Purged(tombstone)));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(matches!(
        run.store.read(&run.id).await.unwrap().value,
        Found::Purged(_)
    ));
}

#[doc = sentence!(a_purged_run_stays_purged_if_the_insert_asks_for_it)]
pub async fn a_purged_run_stays_purged_if_the_insert_asks_for_it(harness: &StoreHarness) {
    let run = purged(harness, "stays").await;
    let insert = async |content: &str, stays: bool| {
        let mut new = new_run(harness, &run.id, content, run.now());
        new.unless_purged = stays;
        run.store.insert(new).await.unwrap().value
    };
    let same = insert("stays", true).await;
    assert!(matches!(same, Inserted::Purged(_)), "{same:?}");
    assert_eq!(insert("other", true).await, Inserted::Other);
    assert_eq!(run.read().await, None);
    assert_eq!(insert("other", false).await, Inserted::New);
    assert!(run.read().await.is_some());
    // The new run has taken the place of the tombstone.
    assert!(matches!(insert("other", true).await, Inserted::Same(_)));
    let fresh = new_run(harness, &harness.id("fresh"), "fresh", run.now()).unless_purged();
    assert_eq!(run.store.insert(fresh).await.unwrap().value, Inserted::New);
}

/// A run that was cancelled and purged.
async fn purged<'a>(harness: &'a StoreHarness, name: &str) -> Inhabitant<'a> {
    let run = Inhabitant::new(harness, name).await;
    run.swap(Write::new(run.cancelled())).await;
    assert!(run.store.purge(&run.id).await.unwrap());
    run
}

#[doc = sentence!(only_a_run_that_has_ended_is_purged)]
pub async fn only_a_run_that_has_ended_is_purged(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "alive").await;
    assert!(!run.store.purge(&run.id).await.unwrap());
    assert_eq!(run.read().await, Some(run.progress.clone()));
}
