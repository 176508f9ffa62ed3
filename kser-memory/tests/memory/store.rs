//! What this store does beyond the contract.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use bytes::Bytes;
use kser_core::sequencing::{Event, Progress, StepWindow, apply};
use kser_core::store::{NewRun, OUTPUT_PATIENCE, RunFilter, Swapped, Write};
use kser_core::{Clock, Record, RunId, StateStore, StoreId, Timestamp, Topic};
use kser_memory::{MemoryClock, MemoryStore};

async fn launch(store: &MemoryStore, id: &str) -> (RunId, Progress) {
    let id = RunId::from(id);
    let progress = Progress::launched(MemoryClock::new().now());
    let launch = Bytes::from_static(b"{}");
    let run = NewRun::new(
        id.clone(),
        "test.Run".into(),
        Topic::new("test").unwrap(),
        launch,
        String::new(),
        progress.clone(),
    );
    store.insert(run).await.unwrap();
    (id, progress)
}

/// Ends a run, and leaves outputs.
async fn cancel(store: &MemoryStore, (id, before): &(RunId, Progress), outputs: usize) {
    let now = MemoryClock::new().now();
    let after = apply(before, StepWindow::default(), Event::Cancelled, now).unwrap();
    let mut write = Write::new(after.progress);
    write.outputs = vec![Record::new(Topic::new("out").unwrap(), None); outputs];
    let swapped = store.swap(id, before.revision(), write).await.unwrap();
    assert_eq!(swapped.value, Swapped::Written(None));
}

async fn ids(store: &MemoryStore) -> Vec<String> {
    let page = store.list(&RunFilter::default()).await.unwrap();
    page.rows.iter().map(|run| run.id.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_run_that_was_finished_first_is_forgotten_first() {
    let store = MemoryStore::new().with_failed_kept(2, usize::MAX);
    let mut runs = Vec::new();
    for id in ["a", "b", "c", "open"] {
        runs.push(launch(&store, id).await);
    }
    for run in [1, 0, 2] {
        cancel(&store, &runs[run], 0).await;
    }
    assert_eq!(ids(&store).await, ["open", "c", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_forgotten_before_its_outputs_are_relayed() {
    let store = MemoryStore::new().with_failed_kept(0, 0);
    let run = launch(&store, "a").await;
    cancel(&store, &run, 2).await;
    tokio::time::advance(OUTPUT_PATIENCE).await;
    let due = store.outputs_due(10, Duration::ZERO).await.unwrap().value;
    let due: Vec<_> = due.into_iter().map(|output| output.id).collect();
    assert_eq!(due.len(), 2);
    store.relayed(&due[..1]).await.unwrap();
    assert_eq!(ids(&store).await, ["a"]);
    store.relayed(&due[1..]).await.unwrap();
    assert!(ids(&store).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_purge_wakes_who_waits_for_the_run() {
    let store = MemoryStore::new();
    let run = launch(&store, "a").await;
    cancel(&store, &run, 0).await;
    let version = store
        .read(&run.0)
        .await
        .unwrap()
        .value
        .progress()
        .unwrap()
        .version();
    let (waiting, id) = (store.clone(), run.0.clone());
    let waiting = tokio::spawn(async move { waiting.changed(&id, version).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert!(store.purge(&run.0).await.unwrap());
    let woken = tokio::time::timeout(Duration::from_secs(1), waiting).await;
    woken.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn stores_have_ids_of_their_own_unless_told() {
    let (one, other) = (MemoryStore::new(), MemoryStore::new());
    let id = async |store: &MemoryStore| store.id().await.unwrap().value;
    assert_ne!(id(&one).await, id(&other).await);
    assert_eq!(id(&one.clone()).await, id(&one).await);
    let named = MemoryStore::new().with_id("simulated");
    assert_eq!(id(&named).await, StoreId::from("simulated"));
}

#[test]
fn its_time_does_not_go_back_between_runtimes() {
    let store = MemoryStore::new();
    let now = |advance: u64| -> Timestamp {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            tokio::time::advance(Duration::from_secs(advance)).await;
            store.outputs_due(1, Duration::ZERO).await.unwrap().now
        })
    };
    let ahead = now(3600);
    assert!(now(0) >= ahead);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_watched_is_kept() {
    let store = MemoryStore::new().with_failed_kept(0, 0);
    // Before it is inserted, by two.
    let watch = [store.watch(&"a".into()), store.watch(&"a".into())];
    let run = launch(&store, "a").await;
    cancel(&store, &run, 0).await;
    assert_eq!(ids(&store).await, ["a"]);
    let [first, second] = watch;
    drop(first);
    assert_eq!(ids(&store).await, ["a"]);
    assert_eq!(store.health().forgotten, 0);
    drop(second);
    assert!(ids(&store).await.is_empty());
    assert_eq!(store.health().forgotten, 1);
}

#[tokio::test(start_paused = true)]
async fn failed_runs_are_kept_up_to_their_bytes() {
    let store = MemoryStore::new()
        .with_finished_kept(0)
        .with_failed_kept(100, 5_000);
    for id in 0..100 {
        let run = launch(&store, &format!("{id:02}")).await;
        cancel(&store, &run, 0).await;
    }
    let left = ids(&store).await;
    assert!((2..=10).contains(&left.len()), "{left:?}");
    assert_eq!(left[0], "99", "the first that ended goes first");
    assert_eq!(store.health().forgotten, 100 - left.len() as u64);
}
