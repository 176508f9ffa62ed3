//! Files that are no database of this version, and large values.

use kser_core::sequencing::{Event, Progress, StepWindow, apply};
use kser_core::store::{Attempt, Found, NewRun, Standing, Swapped, Write};
use kser_core::{Error, Outcome, StateStore, Topic};
use kser_sql::SqliteStore;
use rusqlite::Connection;

use crate::file::File;

/// Notes a migration of a later version of kser.
fn migrate(file: &File, oldest_reader: i64) {
    let connection = Connection::open(file.path()).unwrap();
    let migration = (99, oldest_reader);
    connection
        .execute("INSERT INTO kser_migrations VALUES (?1, ?2)", migration)
        .unwrap();
}

async fn refused(file: &File) -> String {
    let error = SqliteStore::open(file.path()).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Backend {
                temporary: false,
                ..
            }
        ),
        "{error:?}"
    );
    error.report()
}

#[tokio::test]
async fn tables_of_a_later_version_are_used_while_this_one_may() {
    let file = File::new();
    let id = SqliteStore::open(file.path())
        .await
        .unwrap()
        .id()
        .await
        .unwrap()
        .value;
    migrate(&file, 1);
    let again = SqliteStore::open(file.path()).await.unwrap();
    assert_eq!(again.id().await.unwrap().value, id);
}

#[tokio::test]
async fn tables_that_need_a_later_version_are_refused() {
    let file = File::new();
    SqliteStore::open(file.path()).await.unwrap();
    migrate(&file, 98);
    // The connections that close meanwhile do not matter.
    let text = refused(&file).await;
    assert!(
        text.contains("a later version of kser has changed the tables"),
        "{text}"
    );
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let file = File::new();
    std::fs::write(
        file.path(),
        "a letter to the bank, long enough to be no empty file".repeat(100),
    )
    .unwrap();
    let text = refused(&file).await;
    assert!(text.contains("not a database"), "{text}");
}

#[tokio::test]
async fn a_program_keeps_its_own_tables_in_the_file() {
    let file = File::new();
    let connection = Connection::open(file.path()).unwrap();
    connection
        .execute_batch("CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (7)")
        .unwrap();
    SqliteStore::open(file.path()).await.unwrap();
    let id: i64 = connection
        .query_row("SELECT id FROM orders", (), |row| row.get(0))
        .unwrap();
    assert_eq!(id, 7);
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'kser_%' AND name NOT LIKE 'sqlite_%'";
    let others: i64 = connection.query_row(sql, (), |row| row.get(0)).unwrap();
    assert_eq!(others, 1, "all tables of the store begin with kser_");
}

#[tokio::test]
async fn an_outcome_of_thirty_megabytes_comes_back() {
    let file = File::new();
    let store = SqliteStore::open(file.path()).await.unwrap();
    let now = store.id().await.unwrap().now;
    let before = Progress::launched(now);
    let topic = Topic::new("test").unwrap();
    let run = NewRun::new(
        "large".into(),
        "test.Run".into(),
        topic,
        "{}".into(),
        String::new(),
        before.clone(),
    );
    store.insert(run).await.unwrap();
    let after = apply(&before, StepWindow::default(), Event::Cancelled, now).unwrap();
    let mut write = Write::new(after.progress);
    let outcome = Outcome::text("x".repeat(30 << 20));
    write.attempt = Some(Attempt::new(0, "test.Run".into(), 1, now, outcome.clone()));
    store
        .swap(&"large".into(), before.revision(), write)
        .await
        .unwrap();
    let attempts = store
        .attempts(&"large".into(), None, 10)
        .await
        .unwrap()
        .rows;
    assert!(attempts.len() == 1 && attempts[0].outcome == outcome);
}

#[tokio::test]
async fn a_restored_backup_refuses_the_writers_of_the_lost_time() {
    let (file, backup) = (File::new(), File::new());
    let store = SqliteStore::open(file.path()).await.unwrap();
    let now = store.id().await.unwrap().now;
    let launched = Progress::launched(now).with_stamp(1);
    let topic = Topic::new("test").unwrap();
    let run = NewRun::new(
        "run".into(),
        "test.Run".into(),
        topic,
        "{}".into(),
        String::new(),
        launched.clone(),
    );
    store.insert(run).await.unwrap();
    let life = store.register(&"worker".into()).await.unwrap().value;
    let copy = Connection::open(file.path()).unwrap();
    copy.execute("VACUUM INTO ?1", [backup.path().to_str().unwrap()])
        .unwrap();

    // The run moves on, and the file is lost.
    let change = |before: &Progress, event, stamp| {
        let after = apply(before, StepWindow::default(), event, now).unwrap();
        after.progress.with_stamp(stamp)
    };
    let cancelled = change(&launched, Event::Cancelled, 2);
    store
        .swap(
            &"run".into(),
            launched.revision(),
            Write::new(cancelled.clone()),
        )
        .await
        .unwrap();

    let restored = SqliteStore::open(backup.path()).await.unwrap();
    assert_eq!(
        restored.id().await.unwrap().value,
        store.id().await.unwrap().value
    );
    let swap = async |before: &Progress, after: Progress| {
        let swapped = restored
            .swap(&"run".into(), before.revision(), Write::new(after))
            .await;
        swapped.unwrap().value
    };
    let resumed = change(&cancelled, Event::Resumed, 3);
    let conflict = |progress: &Progress| {
        let standing = Standing::new(progress.clone(), None, None);
        Swapped::Conflict(Found::Stands(Box::new(standing)))
    };
    let stored = conflict(&launched);
    assert_eq!(swap(&cancelled, resumed.clone()).await, stored);
    // Another history of the same versions, which the writers of the first one do not match either.
    let again = change(&launched, Event::Cancelled, 4);
    assert_eq!(swap(&launched, again.clone()).await, Swapped::Written(None));
    assert_eq!(swap(&cancelled, resumed).await, conflict(&again));
    let next = restored.register(&"worker".into()).await.unwrap().value;
    assert!(next.supersedes(&life));
}
