//! Servers that are killed, restarted and frozen, and connections that are lost, while runs go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use kser::{Entrypoint, Registry, Step, TaskError};
use kser_core::StateStore;
use kser_core::store::{Swapped, Write};
use kser_sql::PostgresStore;
use serde::{Deserialize, Serialize};
use test_services::Postgres;

use crate::proxy::{Kind, Loss, Proxy};
use crate::runs::{after, id, insert};
use crate::schema;

const RUNS: usize = 8;
/// The deadline for events that take milliseconds unless one is lost.
const LONG: Duration = Duration::from_secs(120);

/// Writers that change runs until they are told to end. Each counts the swaps that have written.
struct Load {
    store: PostgresStore,
    written: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    writers: tokio::task::JoinSet<(usize, u64)>,
}

impl Load {
    async fn start(url: &str) -> Self {
        let store = PostgresStore::open(url).await.unwrap();
        let (written, end) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..RUNS {
            insert(&store, id(number)).await.unwrap();
            let (store, written) = (store.clone(), Arc::clone(&written));
            let ended = Arc::clone(&end);
            writers.spawn(async move { write(&store, number, &written, &ended).await });
        }
        Self {
            store,
            written,
            end,
            writers,
        }
    }

    /// Waits until so many further swaps are written.
    async fn advance(&self, swaps: u64) {
        let goal = self.written.load(Ordering::SeqCst) + swaps;
        let advance = async {
            while self.written.load(Ordering::SeqCst) < goal {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let advanced = tokio::time::timeout(LONG, advance).await;
        advanced.expect("the writers go on");
    }

    /// Ends the writers, and checks that each swap was written exactly once.
    async fn check(mut self) {
        self.end.store(true, Ordering::SeqCst);
        while let Some(done) = self.writers.join_next().await {
            let (number, written) = done.unwrap();
            let progress = self
                .store
                .read(&id(number))
                .await
                .unwrap()
                .value
                .into_progress()
                .unwrap();
            assert_eq!(progress.version(), written + 1, "run {number}");
        }
    }
}

/// Changes a run, of which this is the only writer. A temporary error is tried again, as the engine does it: with the same stamp.
async fn write(
    store: &PostgresStore,
    number: usize,
    total: &AtomicU64,
    ended: &AtomicBool,
) -> (usize, u64) {
    let mut progress = store
        .read(&id(number))
        .await
        .unwrap()
        .value
        .into_progress()
        .unwrap();
    for written in 0_u64.. {
        let next = after(
            &progress,
            (u64::try_from(number).unwrap() << 32) + written + 1,
        );
        loop {
            let swapped = store
                .swap(&id(number), progress.revision(), Write::new(next.clone()))
                .await;
            match swapped.map(|swapped| swapped.value) {
                Ok(Swapped::Written(_)) => break,
                Ok(other) => panic!("another writer: {other:?}"),
                Err(error) => assert!(error.is_temporary(), "{}", error.report()),
            }
        }
        total.fetch_add(1, Ordering::SeqCst);
        progress = next;
        if ended.load(Ordering::SeqCst) {
            return (number, written + 1);
        }
    }
    unreachable!("there are enough numbers")
}

#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("test.Order")]
struct Order {}

#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("test.Count")]
struct Count {
    step: usize,
}

type Counts = Arc<[AtomicUsize; 3]>;

fn registry(counts: &Counts) -> Registry {
    let order = |_: Order| async {
        Ok::<_, TaskError>(
            (0..3)
                .map(|step| Step::new(Count { step }))
                .collect::<Vec<_>>(),
        )
    };
    let counts = Arc::clone(counts);
    let count = move |count: Count| {
        counts[count.step].fetch_add(1, Ordering::SeqCst);
        async {}
    };
    Registry::new()
        .operation(order)
        .task(count)
        .build()
        .unwrap()
}

/// Loses each statement, or each answer, of an operation of three steps once.
async fn lose_each(loss: Loss) {
    let server = test_services::postgres();
    let url = schema::new(server);
    let proxy = Proxy::start(server.address(), Kind::Loses(loss)).await;
    let store = PostgresStore::open(&proxy.url(&url, &server.address()))
        .await
        .unwrap();
    let client = kser::Client::builder_from_url("memory://")
        .store(store.clone())
        .build()
        .await
        .unwrap();
    let counts = Counts::default();
    let consumer = client.consumer(registry(&counts)).spawn();
    let mut lost = 0;
    loop {
        proxy.lose(lost);
        let run = client
            .producer()
            .launch(Order {})
            .with_id(format!("lost {lost}"))
            .await
            .unwrap();
        run.result().await.unwrap();
        let run = format!("lost {lost}").into();
        let attempts = store.attempts(&run, None, 99).await.unwrap().rows;
        let positions: Vec<u32> = attempts.iter().map(|attempt| attempt.position).collect();
        assert_eq!(
            positions,
            [0, 1, 2, 3],
            "each step was accepted once: statement {lost}"
        );
        lost += 1;
        for count in &*counts {
            assert_eq!(
                i64::try_from(count.load(Ordering::SeqCst)).unwrap(),
                lost,
                "each step ran once"
            );
        }
        if !proxy.has_lost() {
            break;
        }
    }
    assert!(lost > 5, "an operation has more statements than {lost}");
    proxy.lose(-1);
    consumer.stop().await.unwrap();
}

test_services::postgres_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn each_statement_of_an_operation_may_be_lost() {
        lose_each(Loss::Statement).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_answer_to_an_operation_may_be_lost() {
        lose_each(Loss::Answer).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_is_killed_and_restarted_under_load() {
        let server = Postgres::start();
        let load = Load::start(&schema::new(&server)).await;
        load.advance(50).await;
        server.kill();
        server.restart();
        load.advance(50).await;
        server.stop();
        // Longer than a store tries: calls fail meanwhile, with errors that are temporary.
        tokio::time::sleep(Duration::from_secs(12)).await;
        server.restart();
        load.advance(50).await;
        let store = load.store.clone();
        load.check().await;
        server.stop();
        let away = store.read(&id(0)).await.unwrap_err();
        assert!(away.is_temporary(), "{}", away.report());
        server.restart();
        assert!(store.read(&id(0)).await.unwrap().value.progress().is_some());
    }
);
