//! A worker that is killed in the middle of 500 operations of 3 steps, and started again.

use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use kser::run::{RunId, RunState, Runs};
use kser::{Client, Status};
use kser_core::StateStore;
use kser_sql::{PostgresStore, SqliteStore};
use tokio::time::{Instant, sleep};

use crate::{Order, customer, registry};

const OPERATIONS: usize = 500;
/// The variables by which a process is a worker: the store, and which of its lives it is.
const STORE: &str = "KSER_BENCH_STORE";
const LIFE: &str = "KSER_BENCH_LIFE";

/// The seconds from the start of the second life until a run went on, and until all have ended.
pub(crate) struct Recovery {
    pub(crate) on: f64,
    pub(crate) done: f64,
}

async fn client(url: &str) -> Client {
    let store: Arc<dyn StateStore> = match url.starts_with("postgres") {
        true => Arc::new(PostgresStore::open(url).await.expect("the server runs")),
        false => Arc::new(
            SqliteStore::open(url)
                .await
                .expect("the file can be opened"),
        ),
    };
    let client = Client::builder_from_url("memory://").store(store);
    client.build().await.expect("memory is always there")
}

fn id(number: usize) -> RunId {
    format!("order {number}").into()
}

/// Works until it is killed, if this process is a worker.
pub(crate) async fn work() {
    let (Ok(url), Ok(life)) = (std::env::var(STORE), std::env::var(LIFE)) else {
        return;
    };
    let client = client(&url).await;
    let consumer = client.consumer(registry()).with_instance("worker");
    let _consumer = consumer.with_concurrency(64).spawn();
    if life == "first" {
        let launches = (0..OPERATIONS).map(|number| {
            let order = Order {
                steps: 3,
                customer: customer(),
            };
            let launch = client.producer().launch(order).with_id(id(number));
            tokio::spawn(async move { launch.await.map(drop) })
        });
        for launch in launches.collect::<Vec<_>>() {
            launch.await.expect("no panic").expect("it is launched");
        }
    }
    std::future::pending().await
}

fn start(url: &str, life: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("the path of the bench"));
    let command = command.env(STORE, url).env(LIFE, life);
    command.spawn().expect("a process")
}

async fn states(runs: &Runs) -> Vec<RunState> {
    let reads = (0..OPERATIONS).map(|number| {
        let runs = runs.clone();
        tokio::spawn(async move { runs.status(&id(number)).await })
    });
    let mut states = Vec::with_capacity(OPERATIONS);
    for read in reads.collect::<Vec<_>>() {
        states.extend(read.await.expect("no panic"));
    }
    states
}

/// Kills a worker in the middle of its operations, starts it again, and checks that each step was accepted once.
pub(crate) async fn kill(url: &str) -> Recovery {
    let client = client(url).await;
    let runs = client.runs();
    let mut worker = start(url, "first");
    let is_in_the_middle = |states: &[RunState]| {
        let ended = states.iter().filter(|state| state.status.is_terminal());
        states.len() == OPERATIONS && ended.count() >= OPERATIONS / 10
    };
    while !is_in_the_middle(&states(&runs).await) {
        sleep(Duration::from_millis(1)).await;
    }
    worker.kill().expect("it runs");
    worker.wait().expect("it has ended");
    let before = states(&runs).await;
    let left = before.iter().filter(|state| !state.status.is_terminal());
    assert!(left.count() > 0, "all operations had ended before the kill");
    let began = Instant::now();
    let mut worker = start(url, "second");
    let mut on = None;
    loop {
        let now = states(&runs).await;
        let moved = |(before, now): (&RunState, &RunState)| {
            before.position != now.position || before.status != now.status
        };
        if on.is_none() && before.iter().zip(&now).any(moved) {
            on = Some(began.elapsed().as_secs_f64());
        }
        if now.iter().all(|state| state.status == Status::Success) {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    let done = began.elapsed().as_secs_f64();
    worker.kill().expect("it runs");
    worker.wait().expect("it has ended");
    for number in 0..OPERATIONS {
        let attempts = runs.all_attempts(&id(number)).await.expect("it is stored");
        let accepted = attempts.iter().filter(|one| one.outcome.is_success());
        let accepted: Vec<u32> = accepted.map(|one| one.position).collect();
        assert_eq!(accepted, [0, 1, 2, 3], "each step is accepted once");
    }
    let on = on.unwrap_or(done);
    Recovery { on, done }
}
