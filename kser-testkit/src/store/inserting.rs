//! Inserting.

use kser_core::store::Inserted;
use tokio::task::JoinSet;

use super::{Inhabitant, new_run, plan};
use crate::StoreHarness;

/// A run is inserted once: a second insert of its id changes nothing, and says whether the content is the same.
pub async fn a_run_is_inserted_once(harness: &StoreHarness) {
    let run = Inhabitant::new(harness, "once").await;
    let again = new_run(harness, &run.id, "once", run.now());
    let inserted = run.store.insert(again).await.unwrap().value;
    assert_eq!(inserted, Inserted::Same(Box::new(run.progress.clone())));
    let other = new_run(harness, &run.id, "other", run.now()).with_plan(plan(&run.id, 1));
    let inserted = run.store.insert(other).await.unwrap().value;
    assert_eq!(inserted, Inserted::Other);
    assert_eq!(run.read().await, Some(run.progress.clone()));
    assert_eq!(run.store.step(&run.id, 1).await.unwrap(), None);
    let info = run.store.run(&run.id).await.unwrap().unwrap();
    assert_eq!(info.launch, "launch of once");
}

/// A text that differs in one byte is another id.
pub async fn ids_are_told_apart_by_every_byte(harness: &StoreHarness) {
    let long = "x".repeat(1000);
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

/// Of many that insert one id at once, one is told that it is new.
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
            Inserted::Other => panic!("the content is the same"),
        }
    }
    assert_eq!(new, 1);
}

/// A run may be inserted with its plan or without.
pub async fn a_run_may_come_with_its_plan(harness: &StoreHarness) {
    let without = Inhabitant::new(harness, "without").await;
    assert_eq!(without.store.step(&without.id, 1).await.unwrap(), None);
    let with = Inhabitant::with_steps(harness, "with", 2).await;
    let step = with.store.step(&with.id, 2).await.unwrap();
    assert_eq!(step, plan(&with.id, 2).pop());
}
