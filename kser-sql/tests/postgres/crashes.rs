//! Processes that crash before and after each of their statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kser::memory::MemoryTransport;
use kser::{Client, Entrypoint, Registry, Step, TaskError};
use kser_core::{StateStore, Status};
use kser_sql::PostgresStore;
use serde::{Deserialize, Serialize};

use crate::proxy::{Kind, Loss, Proxy};
use crate::schema;

/// The deadline for an operation that takes milliseconds unless something is lost.
const LONG: Duration = Duration::from_secs(120);

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
    let order = async |_: Order| {
        let steps = (0..3).map(|step| Step::new(Count { step }));
        Ok::<_, TaskError>(steps.collect::<Vec<_>>())
    };
    let counts = Arc::clone(counts);
    let count = move |count: Count| {
        counts[count.step].fetch_add(1, Ordering::SeqCst);
        async {}
    };
    let registry = Registry::new().operation(order).task(count);
    registry.build().unwrap()
}

/// The processes of a test: they share a transport, and each has connections of its own.
struct Processes {
    transport: MemoryTransport,
    url: String,
}

impl Processes {
    async fn client(&self, url: &str) -> Client {
        let store = PostgresStore::open(url).await.unwrap();
        let client = Client::builder(self.transport.clone()).store(store);
        client.build().await.unwrap()
    }

    /// Runs an operation, whose consumer crashes at the statement with this number and is started again. Returns whether the
    /// operation had so many statements.
    async fn crash_at(&self, statement: i64, loss: Loss) -> bool {
        let server = test_services::postgres().address();
        let proxy = Proxy::start(server.clone(), Kind::EndsAt(loss)).await;
        let counts = Counts::default();
        let crashing = self.client(&proxy.url(&self.url, &server)).await;
        let steady = self.client(&self.url).await;
        proxy.lose(statement);
        let consumer = crashing.consumer(registry(&counts)).with_instance("worker");
        let first = tokio::spawn(consumer.run());
        let id = format!("{loss:?} {statement}");
        let run = steady.producer().launch(Order {}).with_id(id.clone());
        let run = run.await.unwrap();
        let ended = tokio::select! {
            ended = run.wait() => ended.is_ok(),
            () = until_ended(&proxy) => false,
        };
        first.abort();
        let _ = first.await;
        drop(crashing);
        let second = steady.consumer(registry(&counts)).with_instance("worker");
        let second = second.spawn();
        let state = tokio::time::timeout(LONG, run.wait()).await;
        let state = state.expect("the operation ends").unwrap();
        assert_eq!(state.status, Status::Success, "{id}");
        second.stop().await.unwrap();
        self.check(&id, &counts).await;
        proxy.has_ended() || !ended
    }

    /// Checks that each step was accepted once, and ran once more at most.
    async fn check(&self, id: &str, counts: &Counts) {
        let store = PostgresStore::open(&self.url).await.unwrap();
        let attempts = store.attempts(&id.into(), None, 99).await.unwrap().rows;
        let accepted = attempts
            .iter()
            .filter(|attempt| attempt.status == Status::Success);
        let accepted: Vec<u32> = accepted.map(|attempt| attempt.position).collect();
        assert_eq!(accepted, [0, 1, 2, 3], "{id}: each step was accepted once");
        for (step, count) in counts.iter().enumerate() {
            let count = count.load(Ordering::SeqCst);
            assert!(
                (1..=2).contains(&count),
                "{id}: step {step} ran {count} times"
            );
        }
    }
}

async fn until_ended(proxy: &Proxy) {
    while !proxy.has_ended() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn crash_at_each(loss: Loss) {
    let server = test_services::postgres();
    let (transport, url) = (MemoryTransport::new(), schema::new(server));
    let processes = Processes { transport, url };
    let mut statement = 0;
    while processes.crash_at(statement, loss).await {
        statement += 1;
    }
    assert!(
        statement > 5,
        "a consumer has more statements than {statement}"
    );
}

test_services::postgres_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_consumer_may_crash_before_each_statement() {
        crash_at_each(Loss::Statement).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_consumer_may_crash_after_each_statement() {
        crash_at_each(Loss::Answer).await;
    }
);
