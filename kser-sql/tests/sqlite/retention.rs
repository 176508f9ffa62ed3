//! Runs that ended long ago are removed, if the store is asked to.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use kser_core::sequencing::{Event, Progress, StepWindow, apply};
use kser_core::store::{Found, NewRun, Write};
use kser_core::{Record, RunId, StateStore as _, Topic};
use kser_sql::SqliteStore;

use crate::file::File;

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn insert(store: &SqliteStore, id: &str) -> (RunId, Progress) {
    let id = RunId::from(id);
    let now = store.id().await.unwrap().now;
    let progress = Progress::launched(now);
    let (topic, launch) = (Topic::new("test").unwrap(), "{}".into());
    let name = "test.Run".into();
    let digest = String::new();
    let run = NewRun::new(id.clone(), name, topic, launch, digest, progress.clone());
    store.insert(run).await.unwrap();
    (id, progress)
}

/// Cancels a run, with this output.
async fn cancel(store: &SqliteStore, (id, progress): &(RunId, Progress), output: Option<Record>) {
    let now = store.id().await.unwrap().now;
    let cancelled = apply(progress, StepWindow::default(), Event::Cancelled, now);
    let mut write = Write::new(cancelled.unwrap().progress);
    write.outputs.extend(output);
    store.swap(id, progress.revision(), write).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_run_is_removed_at_the_age_of_the_retention() {
    let file = File::new();
    let all = SqliteStore::open(file.path()).await.unwrap();
    let store = all.clone().with_retention(7 * DAY);
    let active = insert(&store, "active").await;
    let unsent = insert(&store, "unsent").await;
    let output = Record::new(Topic::new("out").unwrap(), None);
    cancel(&store, &unsent, Some(output)).await;
    let mut ended = Vec::new();
    // More than one write removes.
    for number in 0..250 {
        let run = insert(&store, &format!("ended {number}")).await;
        cancel(&store, &run, None).await;
        ended.push(run.0);
    }
    let is_kept = async |id: &RunId| {
        let found = store.read(id).await.unwrap().value;
        matches!(found, Found::Stands(_))
    };
    tokio::time::sleep(6 * DAY).await;
    store.outputs_due(1, Duration::ZERO).await.unwrap();
    assert!(is_kept(&ended[0]).await, "it is not that old");
    tokio::time::sleep(2 * DAY).await;
    all.outputs_due(1, Duration::ZERO).await.unwrap();
    assert!(
        is_kept(&ended[0]).await,
        "a store without a retention removes none"
    );
    let due = store.outputs_due(10, Duration::ZERO).await.unwrap().value;
    assert_eq!(due.len(), 1);
    for id in &ended {
        assert!(!is_kept(id).await, "{id}");
    }
    assert!(is_kept(&active.0).await, "it has not ended");
    assert!(is_kept(&unsent.0).await, "it has an output to relay");
    store.relayed(&[due[0].id.clone()]).await.unwrap();
    store.outputs_due(1, Duration::ZERO).await.unwrap();
    assert!(!is_kept(&unsent.0).await);
    let found = store.read(&ended[0]).await.unwrap().value;
    assert!(matches!(found, Found::Purged(_)), "late records are known");
}
