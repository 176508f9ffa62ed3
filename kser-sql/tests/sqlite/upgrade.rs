//! Tables of an earlier version, and programs of an earlier version beside this one.

use kser_core::sequencing::{Event, Outcomes, Progress, StepWindow, apply};
use kser_core::store::{NewRun, RunFilter, RunSummary, Write};
use kser_core::{Outcome, StateStore, Status, Timestamp, Topic};
use kser_sql::SqliteStore;
use rusqlite::Connection;

use crate::file::File;

/// Puts the tables back as they were before the second migration.
const BEFORE_PAGES: &str = "
    DROP TABLE kser_consumers;
    DROP INDEX kser_runs_listed;
    DROP INDEX kser_runs_named;
    CREATE INDEX kser_runs_status ON kser_runs (status, number);
    CREATE INDEX kser_runs_name ON kser_runs (name, status, number);
    ALTER TABLE kser_runs DROP COLUMN steps;
    ALTER TABLE kser_runs DROP COLUMN updated;
    ALTER TABLE kser_runs DROP COLUMN noted;
    DROP TABLE kser_outcomes;
    DELETE FROM kser_migrations WHERE version >= 2;
";

async fn cancel(store: &SqliteStore) {
    let id = "old".into();
    let before = store.read(&id).await.unwrap();
    let (now, before) = (before.now, before.value.into_progress().unwrap());
    let after = apply(&before, StepWindow::default(), Event::Cancelled, now).unwrap();
    let write = Write::new(after.progress);
    store.swap(&id, before.revision(), write).await.unwrap();
}

/// Lists the run, as its description tells it.
async fn listed(store: &SqliteStore) -> RunSummary {
    let page = store.list(&RunFilter::default()).await.unwrap();
    let info = store.run(&"old".into()).await.unwrap().unwrap();
    assert_eq!(page.rows, [RunSummary::from(&info)]);
    RunSummary::from(&info)
}

#[tokio::test]
async fn a_list_tells_rows_that_an_earlier_version_has_written() {
    let file = File::new();
    let store = SqliteStore::open(file.path()).await.unwrap();
    let topic = Topic::new("test").unwrap();
    let launched = Timestamp::from_millis(1_700_000_000_000);
    let progress = Progress::forked(3, 2, Outcome::default(), launched);
    let new = NewRun::new(
        "old".into(),
        "test.Run".into(),
        topic,
        "{}".into(),
        String::new(),
        progress,
    );
    store.insert(new).await.unwrap();
    drop(store);
    let raw = Connection::open(file.path()).unwrap();
    raw.execute_batch(BEFORE_PAGES).unwrap();
    let store = SqliteStore::open(file.path()).await.unwrap();
    assert_eq!(listed(&store).await.position, 2);
    // A program that does not know the columns writes all others.
    cancel(&store).await;
    assert_eq!(listed(&store).await.status, Status::Cancelled);
    raw.execute(
        "UPDATE kser_runs SET steps = 77, updated = 1, noted = 1",
        (),
    )
    .unwrap();
    let told = listed(&store).await;
    assert_eq!((told.status, told.steps), (Status::Cancelled, 3));
    assert!(told.updated.as_millis() > 1);
}

/// Puts the outcomes where the tables before the fourth migration have them.
const BEFORE_OUTCOMES: &str = "
    UPDATE kser_runs SET progress = json_patch(progress, (SELECT outcomes FROM kser_outcomes));
    DELETE FROM kser_outcomes;
";

#[tokio::test]
async fn outcomes_of_an_earlier_version_are_read_and_kept() {
    let file = File::new();
    let store = SqliteStore::open(file.path()).await.unwrap();
    let launched = Timestamp::from_millis(1_700_000_000_000);
    let progress = Progress::forked(3, 2, Outcome::text("forwarded"), launched);
    let new = NewRun::new(
        "old".into(),
        "test.Run".into(),
        Topic::new("test").unwrap(),
        "{}".into(),
        String::new(),
        progress,
    );
    store.insert(new).await.unwrap();
    let raw = Connection::open(file.path()).unwrap();
    raw.execute_batch(BEFORE_OUTCOMES).unwrap();
    let read = async || store.read(&"old".into()).await.unwrap();
    let before = read().await;
    let (now, before) = (before.now, before.value.into_progress().unwrap());
    assert_eq!(before.outcome(), &Outcome::text("forwarded"));
    let after = apply(&before, StepWindow::default(), Event::Cancelled, now).unwrap();
    let mut write = Write::new(after.progress.with_outcomes(Outcomes::default()));
    write.keeps_outcomes = true;
    store
        .swap(&"old".into(), before.revision(), write)
        .await
        .unwrap();
    let after = read().await.value.into_progress().unwrap();
    assert_eq!(after.status(), Status::Cancelled);
    assert_eq!(after.outcome(), &Outcome::text("forwarded"));
}

#[tokio::test]
async fn a_write_that_keeps_a_large_outcome_is_small() {
    let file = File::new();
    let store = SqliteStore::open(file.path()).await.unwrap();
    let now = store.id().await.unwrap().now;
    let outcome = Outcome::text("x".repeat(8 << 20));
    let mut progress = Progress::forked(3, 2, outcome.clone(), now);
    let new = NewRun::new(
        "large".into(),
        "test.Run".into(),
        Topic::new("test").unwrap(),
        "{}".into(),
        String::new(),
        progress.clone(),
    );
    store.insert(new).await.unwrap();
    let raw = Connection::open(file.path()).unwrap();
    let log = || {
        let pages = raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
        pages.unwrap();
        std::fs::metadata(format!("{}-wal", file.path().display()))
            .unwrap()
            .len()
    };
    assert_eq!(log(), 0);
    for event in [Event::Cancelled, Event::Resumed] {
        let after = apply(&progress, StepWindow::default(), event, now).unwrap();
        let mut write = Write::new(after.progress.clone());
        write.keeps_outcomes = true;
        let swapped = store
            .swap(&"large".into(), progress.revision(), write)
            .await;
        swapped.unwrap();
        progress = after.progress;
    }
    let written = std::fs::metadata(format!("{}-wal", file.path().display()));
    let written = written.unwrap().len();
    assert!(written < 100_000, "{written} bytes for two small changes");
    let read = store.read(&"large".into()).await.unwrap().value;
    assert_eq!(read.into_progress().unwrap().outcome(), &outcome);
}
