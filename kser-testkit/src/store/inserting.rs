//! Inserting.

use crate::rules::store_sentences::sentence;
use std::time::Duration;

use kser_core::store::{Found, Inserted, LONGEST_ID, OUTPUT_PATIENCE};
use kser_core::{Error, RunId};
use tokio::task::JoinSet;

use super::{ALL, Inhabitant, NO_CLAIM, new_run, output, plan};
use crate::StoreHarness;

#[doc = sentence!(a_run_is_inserted_once)]
pub async fn a_run_is_inserted_once(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "once").await;
    let again = new_run(harness, &run.id, "once", run.now());
    let inserted = run.store.insert(again).await.unwrap().value;
    assert_eq!(inserted, Inserted::Same(run.standing()));
    let other = new_run(harness, &run.id, "other", run.now()).with_plan(plan(&run.id, 1));
    let inserted = run.store.insert(other).await.unwrap().value;
    assert_eq!(inserted, Inserted::Other);
    assert_eq!(run.read().await, Some(run.progress.clone()));
    assert_eq!(run.store.step(&run.id, 1).await.unwrap(), None);
    let info = run.store.run(&run.id).await.unwrap().unwrap();
    assert_eq!(info.launch, "launch of once");
}

#[doc = sentence!(ids_are_told_apart_by_every_byte)]
pub async fn ids_are_told_apart_by_every_byte(harness: &StoreHarness) {
    let long = "x".repeat(900);
    let names = [
        "a",
        "A",
        "a ",
        " a",
        "\u{e4}",
        "a\u{308}",
        "\u{1f3b2}",
        "'; --",
        "%",
        "_",
        "\"",
        "\\",
        "\n",
        "",
    ];
    let names = names.into_iter().chain([long.as_str()]);
    let mut runs = Vec::new();
    for name in names {
        runs.push(Inhabitant::new(harness, name).await);
    }
    for run in &runs {
        assert_eq!(run.read().await, Some(run.progress.clone()), "{:?}", run.id);
        let info = run.store.run(&run.id).await.unwrap().unwrap();
        assert_eq!(info.id, run.id);
    }
}

#[doc = sentence!(a_longer_id_is_refused)]
pub async fn a_longer_id_is_refused(harness: &StoreHarness) {
    // A letter of four bytes does not count as one.
    let id = |bytes: usize| {
        let start = harness.id("\u{1f3b2}").to_string();
        RunId::from(format!("{start:x<bytes$}", bytes = bytes - 3))
    };
    let (longest, longer) = (id(LONGEST_ID), id(LONGEST_ID + 1));
    assert_eq!(longest.as_str().len(), LONGEST_ID);
    let now = harness.store().read(&longest).await.unwrap().now;
    let insert = async |id: &RunId| {
        let run = new_run(harness, id, "long", now);
        harness
            .store()
            .insert(run)
            .await
            .map(|inserted| inserted.value)
    };
    assert_eq!(insert(&longest).await.unwrap(), Inserted::New);
    let refused = insert(&longer).await;
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
    let read = harness.store().read(&longer).await.unwrap().value;
    assert_eq!(read, Found::Unknown);
}

#[doc = sentence!(of_many_inserts_one_is_new)]
pub async fn of_many_inserts_one_is_new(harness: &StoreHarness) {
    let id = harness.id("many");
    let now = harness.store().read(&id).await.unwrap().now;
    let mut inserts = JoinSet::new();
    for _ in 0..20 {
        let (store, run) = (harness.store().clone(), new_run(harness, &id, "many", now));
        inserts.spawn(async move { store.insert(run).await.unwrap().value });
    }
    let mut new = 0;
    while let Some(inserted) = inserts.join_next().await {
        match inserted.unwrap() {
            Inserted::New => new += 1,
            Inserted::Same(_) => {}
            _ => panic!("the content is the same"),
        }
    }
    assert_eq!(new, 1);
}

#[doc = sentence!(a_run_may_come_with_its_plan)]
pub async fn a_run_may_come_with_its_plan(harness: &StoreHarness) {
    let without = Inhabitant::new(harness, "without").await;
    assert_eq!(without.store.step(&without.id, 1).await.unwrap(), None);
    let with = Inhabitant::with_steps(harness, "with", 2).await;
    let step = with.store.step(&with.id, 2).await.unwrap();
    assert_eq!(step, plan(&with.id, 2).pop());
}

#[doc = sentence!(outputs_come_with_a_new_run)]
pub async fn outputs_come_with_a_new_run(harness: &StoreHarness) {
    let (store, id) = (harness.store(), harness.id("outputs"));
    let now = store.read(&id).await.unwrap().now;
    let run = new_run(harness, &id, "outputs", now).with_outputs(vec![output("sent")]);
    let version = run.progress.version();
    for _ in 0..2 {
        store.insert(run.clone()).await.unwrap();
    }
    let other = new_run(harness, &id, "other", now).with_outputs(vec![output("other")]);
    assert_eq!(store.insert(other).await.unwrap().value, Inserted::Other);
    tokio::time::sleep(OUTPUT_PATIENCE + Duration::from_secs(1)).await;
    let mut due = store.outputs_due(ALL, NO_CLAIM).await.unwrap().value;
    due.retain(|due| due.id.run == id);
    assert_eq!(due.len(), 1, "{due:?}");
    assert_eq!((due[0].id.version, due[0].id.index), (version, 0));
    assert_eq!(due[0].record, output("sent"));
}
