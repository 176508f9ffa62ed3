//! Outputs.

use crate::rules::store_sentences::sentence;
use std::time::Duration;

use kser_core::store::{OUTPUT_PATIENCE, Output, OutputId, Write};

use super::{ALL, Inhabitant, NO_CLAIM, bare_output, new_run, output};
use crate::StoreHarness;

#[doc = sentence!(an_output_is_due_once_its_writer_had_its_time)]
pub async fn an_output_is_due_once_its_writer_had_its_time(harness: &StoreHarness) {
    let run = sender(harness, "due").await;
    tokio::time::sleep(OUTPUT_PATIENCE - Duration::from_secs(1)).await;
    assert!(due(&run).await.is_empty());
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..2 {
        let due = due(&run).await;
        assert_eq!(due.len(), 2);
        let version = run.progress.version() + 1;
        for (index, (due, record)) in (0..).zip(due.iter().zip([output("a"), bare_output()])) {
            let id = OutputId {
                run: run.id.clone(),
                version,
                index,
            };
            assert_eq!((&due.id, &due.record), (&id, &record));
        }
    }
    let first = run.store.outputs_due(1, NO_CLAIM).await.unwrap().value;
    assert_eq!(first.len(), 1, "no more than the limit");
}

#[doc = sentence!(outputs_are_due_when_their_write_says)]
pub async fn outputs_are_due_when_their_write_says(harness: &StoreHarness) {
    let (store, id) = (harness.store(), harness.id("at once"));
    let now = store.read(&id).await.unwrap().now;
    let new = new_run(harness, &id, "at once", now).with_outputs(vec![output("launch")]);
    let progress = new.progress.clone();
    let new = new.with_outputs_due_in(Duration::ZERO);
    store.insert(new).await.unwrap();
    let run = Inhabitant {
        store,
        id,
        progress,
    };
    assert_eq!(due(&run).await.len(), 1, "that of the insert");
    let wait = Duration::from_secs(2);
    let mut write = Write::new(run.started());
    (write.outputs, write.outputs_due_in) = (vec![output("step"), bare_output()], wait);
    run.swap(write).await;
    assert_eq!(due(&run).await.len(), 1, "not yet those of the swap");
    tokio::time::sleep(wait + Duration::from_secs(1)).await;
    assert_eq!(due(&run).await.len(), 3);
}

#[doc = sentence!(a_claimed_output_is_not_due)]
pub async fn a_claimed_output_is_not_due(harness: &StoreHarness) {
    let run = sender(harness, "claimed").await;
    tokio::time::sleep(OUTPUT_PATIENCE + Duration::from_secs(1)).await;
    let hold = Duration::from_secs(3);
    let claim = async |limit| {
        let due = run.store.outputs_due(limit, hold).await.unwrap().value;
        let ours = due.into_iter().filter(|due| due.id.run == run.id);
        ours.map(|due| due.id.index).collect::<Vec<_>>()
    };
    assert_eq!(claim(ALL).await, [0, 1]);
    assert!(claim(ALL).await.is_empty());
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(claim(ALL).await, [0, 1], "the claim is over");
    let first = OutputId {
        run: run.id.clone(),
        version: run.progress.version() + 1,
        index: 0,
    };
    run.store.relayed(&[first]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(claim(ALL).await, [1], "a claimed output is relayed");
}

#[doc = sentence!(a_relayed_output_never_comes_back)]
pub async fn a_relayed_output_never_comes_back(harness: &StoreHarness) {
    let run = sender(harness, "relayed").await;
    tokio::time::sleep(OUTPUT_PATIENCE + Duration::from_secs(1)).await;
    let first = due(&run).await.remove(0).id;
    run.store.relayed(&[first]).await.unwrap();
    let left = due(&run).await;
    assert_eq!(left.iter().map(|due| due.id.index).collect::<Vec<_>>(), [1]);
}

#[doc = sentence!(relaying_twice_changes_nothing)]
pub async fn relaying_twice_changes_nothing(harness: &StoreHarness) {
    let run = sender(harness, "twice").await;
    tokio::time::sleep(OUTPUT_PATIENCE + Duration::from_secs(1)).await;
    let ids: Vec<_> = due(&run).await.into_iter().map(|due| due.id).collect();
    run.store.relayed(&ids[..1]).await.unwrap();
    run.store.relayed(&ids[..1]).await.unwrap();
    assert_eq!(due(&run).await.len(), 1);
    run.store.relayed(&ids).await.unwrap();
    assert!(due(&run).await.is_empty());
}

async fn sender<'a>(harness: &'a StoreHarness, name: &str) -> Inhabitant<'a> {
    let run = Inhabitant::new(harness, name).await;
    let mut write = Write::new(run.started());
    write.outputs = vec![output("a"), bare_output()];
    run.swap(write).await;
    run
}

async fn due(run: &Inhabitant<'_>) -> Vec<Output> {
    let due = run.store.outputs_due(ALL, NO_CLAIM).await.unwrap().value;
    due.into_iter().filter(|due| due.id.run == run.id).collect()
}
