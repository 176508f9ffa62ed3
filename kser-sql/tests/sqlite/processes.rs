//! Several processes on one file.

use std::process::{Child, Command};
use std::time::Duration;

use kser_core::sequencing::{Event, Progress, StepWindow, apply};
use kser_core::store::{Inserted, NewRun, Swapped, Write};
use kser_core::{RunId, StateStore, Status, Topic};
use kser_sql::SqliteStore;

use crate::file::File;

/// The variable that makes a test program one of the processes: the path of the file.
const FILE: &str = "KSER_SQL_TEST_FILE";
const PROCESSES: usize = 8;
const RUNS: usize = 20;
/// The number of swaps that each process has to write.
const SWAPS: usize = 25;

fn start(file: &File) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--ignored", "--exact", "processes::one_of_many"]);
    command.env(FILE, file.path()).spawn().unwrap()
}

fn id(number: usize) -> RunId {
    format!("run {number}").into()
}

async fn insert(store: &SqliteStore, id: RunId) -> Inserted {
    let now = store.id().await.unwrap().now;
    let topic = Topic::new("test").unwrap();
    let run = NewRun::new(
        id,
        "test.Run".into(),
        topic,
        "launch".into(),
        "digest".to_owned(),
        Progress::launched(now),
    );
    store.insert(run).await.unwrap().value
}

/// Changes a run in any way: a cancelled run is resumed, another one is cancelled.
async fn change(store: &SqliteStore, id: &RunId, stamp: u64) -> bool {
    let read = store.read(id).await.unwrap();
    let before = read.value.into_progress().unwrap();
    let event = match before.status() {
        Status::Cancelled => Event::Resumed,
        _ => Event::Cancelled,
    };
    let after = apply(&before, StepWindow::default(), event, read.now).unwrap();
    let write = Write::new(after.progress.with_stamp(stamp));
    let swapped = store.swap(id, before.revision(), write).await.unwrap();
    matches!(swapped.value, Swapped::Written(_))
}

/// Makes the tables, the runs and the swaps, as all processes do at once. It is one of the processes, and no test.
#[tokio::test]
#[ignore = "is started by `eight_processes_share_a_file`"]
async fn one_of_many() {
    let Ok(file) = std::env::var(FILE) else {
        return;
    };
    let store = SqliteStore::open(file).await.unwrap();
    let mut new = 0;
    for number in 0..RUNS {
        new += u32::from(insert(&store, id(number)).await == Inserted::New);
    }
    let mut stamp = u64::from(std::process::id()) << 20;
    let mut written = 0;
    while written < SWAPS {
        stamp += 1;
        written += usize::from(change(&store, &id(written % RUNS), stamp).await);
    }
    let life = store.register(&"worker".into()).await.unwrap().value;
    println!("new {new} life {}", life.incarnation);
}

#[tokio::test]
async fn eight_processes_share_a_file() {
    let file = File::new();
    let children: Vec<Child> = (0..PROCESSES).map(|_| start(&file)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success(), "a process had an error");
    }
    let store = SqliteStore::open(file.path()).await.unwrap();
    let mut changes = 0;
    for number in 0..RUNS {
        let progress = store
            .read(&id(number))
            .await
            .unwrap()
            .value
            .into_progress()
            .unwrap();
        changes += usize::try_from(progress.version()).unwrap() - 1;
    }
    assert_eq!(changes, PROCESSES * SWAPS, "each swap was written once");
}

#[tokio::test]
async fn a_killed_process_leaves_whole_writes_and_no_lock() {
    let file = File::new();
    let mut child = start(&file);
    let store = SqliteStore::open(file.path()).await.unwrap();
    while store
        .read(&id(0))
        .await
        .unwrap()
        .value
        .progress()
        .is_none_or(|run| run.version() < 2)
    {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(change(&store, &id(1), 1).await);
    assert_eq!(insert(&store, id(RUNS)).await, Inserted::New);
}

#[tokio::test]
async fn a_change_by_another_connection_wakes_the_waiters() {
    let file = File::new();
    let store = SqliteStore::open(file.path()).await.unwrap();
    insert(&store, id(0)).await;
    let waiting = store.clone();
    let waiting = tokio::spawn(async move { waiting.changed(&id(0), 1).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let other = SqliteStore::open(file.path()).await.unwrap();
    assert!(change(&other, &id(0), 1).await);
    let woken = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    woken.expect("the waiter is woken").unwrap().unwrap();
}
