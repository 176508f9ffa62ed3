//! Purging.

use crate::rules::store_sentences::sentence;
use std::time::Duration;

use kser_core::Outcome;
use kser_core::store::{Attempt, Inserted, OUTPUT_PATIENCE, RunFilter, Write};

use super::{ALL, Inhabitant, new_run, output};
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
    let listed: Vec<_> = listed.unwrap().into_iter().map(|info| info.id).collect();
    assert_eq!(listed, std::slice::from_ref(&neighbour.id));
    assert_eq!(run.store.step(&run.id, 1).await.unwrap(), None);
    assert_eq!(run.store.run(&run.id).await.unwrap(), None);
    assert!(run.store.attempts(&run.id, 0, 10).await.unwrap().is_empty());
    tokio::time::sleep(OUTPUT_PATIENCE + Duration::from_secs(1)).await;
    let due = run.store.outputs_due(ALL).await.unwrap().value;
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

#[doc = sentence!(only_a_run_that_has_ended_is_purged)]
pub async fn only_a_run_that_has_ended_is_purged(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "alive").await;
    assert!(!run.store.purge(&run.id).await.unwrap());
    assert_eq!(run.read().await, Some(run.progress.clone()));
}
