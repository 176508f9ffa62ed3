//! Several processes on one database.

use std::process::{Child, Command};
use std::time::Duration;

use kser_core::StateStore;
use kser_core::sequencing::Progress;
use kser_core::store::Inserted;
use kser_sql::PostgresStore;

use crate::runs::{change, id, insert};
use crate::schema;

/// The variable that makes a test program one of the processes: the URL of the database.
const URL: &str = "KSER_SQL_TEST_URL";
const PROCESSES: usize = 8;
const RUNS: usize = 20;
/// The number of swaps that each process has to write.
const SWAPS: usize = 25;

fn start(url: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--ignored", "--exact", "processes::one_of_many"]);
    command.env(URL, url).spawn().unwrap()
}

/// Makes the tables, the runs and the swaps, as all processes do at once. It is one of the processes, and no test.
#[tokio::test]
#[ignore = "is started by `eight_processes_share_a_database`"]
async fn one_of_many() {
    let Ok(url) = std::env::var(URL) else {
        return;
    };
    let store = PostgresStore::open(&url).await.unwrap();
    for number in 0..RUNS {
        insert(&store, id(number)).await.unwrap();
    }
    let mut stamp = u64::from(std::process::id()) << 20;
    let mut written = 0;
    while written < SWAPS {
        stamp += 1;
        written += usize::from(change(&store, &id(written % RUNS), stamp).await.unwrap());
    }
    store.register(&"worker".into()).await.unwrap();
}

test_services::postgres_tests!(
    #[tokio::test]
    async fn eight_processes_share_a_database() {
        let url = schema::new(test_services::postgres());
        let children: Vec<Child> = (0..PROCESSES).map(|_| start(&url)).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success(), "a process had an error");
        }
        let store = PostgresStore::open(&url).await.unwrap();
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
        let url = schema::new(test_services::postgres());
        let mut child = start(&url);
        let store = PostgresStore::open(&url).await.unwrap();
        let version = async || {
            store
                .read(&id(0))
                .await
                .unwrap()
                .value
                .progress()
                .map(Progress::version)
        };
        while version().await.is_none_or(|version| version < 2) {
            assert!(child.try_wait().unwrap().is_none(), "the process goes on");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut stamp = 1;
        while !change(&store, &id(1), stamp).await.unwrap() {
            stamp += 1;
        }
        let inserted = insert(&store, id(RUNS)).await.unwrap();
        assert_eq!(inserted, Inserted::New);
    }

    #[tokio::test]
    async fn the_end_of_a_run_in_another_process_wakes_its_waiters() {
        let server = test_services::postgres();
        let url = schema::new(server);
        let (store, other) = (
            PostgresStore::open(&url).await.unwrap(),
            PostgresStore::open(&url).await.unwrap(),
        );
        insert(&store, id(0)).await.unwrap();
        let waiting = store.clone();
        let waiting = tokio::spawn(async move { waiting.changed(&id(0), 1).await });
        // The waiter has asked the other processes for notifications.
        let (_, name) = url.split_once("schema=").unwrap();
        let listeners = format!("SELECT count(*) FROM {name}.listeners WHERE runs_until > 0");
        while server.execute(&listeners) == "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(change(&other, &id(0), 1).await.unwrap());
        let woken = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        woken.expect("the waiter is woken").unwrap().unwrap();
    }
);
