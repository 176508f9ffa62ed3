//! The round trips of a step: the statements that the server counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kser::memory::MemoryTransport;
use kser::{Client, Entrypoint, Registry, Step};
use kser_core::Status;

use kser_sql::PostgresStore;
use serde::{Deserialize, Serialize};
use test_services::Postgres;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::schema;

#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("here.Step")]
struct Here {}

#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("there.Step")]
struct There {}

/// A store in a schema of its own, of which the statements are counted.
struct Counted {
    server: &'static Postgres,
    url: String,
}

impl Counted {
    fn new() -> Self {
        let server = test_services::postgres();
        let url = schema::new(server);
        Self { server, url }
    }

    async fn client(&self, transport: &MemoryTransport) -> Client {
        let store = PostgresStore::open(&self.url).await.unwrap();
        let client = Client::builder(transport.clone()).store(store);
        client.build().await.unwrap()
    }

    /// Returns the number of statements that steps had executed: all but those that a store executes from time to time, to look
    /// for the changes of other processes, and for due runs.
    fn statements(&self) -> f64 {
        let (_, name) = self.url.split_once("schema=").unwrap();
        let count = self.server.execute(&format!(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
             WHERE query LIKE '%\"{name}\"%' AND query NOT LIKE 'SELECT s.id, r.version, coalesce%'
                 AND query NOT LIKE '%listeners AS l%' AND query NOT LIKE '%due_slot%' AND query NOT LIKE '%outputs o JOIN%'"
        ));
        count.parse().unwrap()
    }

    /// Returns the number of swaps that were written: a run is inserted with version 1.
    fn swaps(&self) -> f64 {
        let (_, name) = self.url.split_once("schema=").unwrap();
        let sql = format!("SELECT coalesce(sum(version - 1), 0) FROM \"{name}\".runs");
        self.server.execute(&sql).parse().unwrap()
    }

    /// Returns the statements of an operation of so many steps, none of which has outputs.
    async fn of_steps(&self, client: &Client, steps: Vec<Step>) -> f64 {
        let before = self.statements();
        let run = client.producer().launch_steps("here.Run", steps).await;
        let state = run.unwrap().wait().await.unwrap();
        assert_eq!(state.status, Status::Success);
        self.statements() - before
    }
}

fn registry() -> Registry {
    Registry::new().task(async |_: Here| ()).build().unwrap()
}

test_services::postgres_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_step_alone_is_one_round_trip() {
        let counted = Counted::new();
        let client = counted.client(&MemoryTransport::new()).await;
        let consumer = client.consumer(registry()).spawn();
        let steps = |count| vec![Step::new(Here {}); count];
        let few = counted.of_steps(&client, steps(4)).await;
        let many = counted.of_steps(&client, steps(24)).await;
        let each = (many - few) / 20.0;
        assert!(each <= 1.1, "{each} statements a step: {few} and {many}");
        consumer.stop().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_step_across_consumers_is_two_round_trips() {
        let counted = Counted::new();
        let transport = MemoryTransport::new();
        let (client, other) = (
            counted.client(&transport).await,
            counted.client(&transport).await,
        );
        let consumers = [
            client.consumer(registry()).spawn(),
            other
                .consumer(Registry::new().task(async |_: There| ()).build().unwrap())
                .spawn(),
        ];
        let steps = |count: usize| {
            let step = |number: usize| match number % 2 {
                0 => Step::new(Here {}),
                _ => Step::new(There {}),
            };
            (0..count).map(step).collect::<Vec<_>>()
        };
        let few = counted.of_steps(&client, steps(4)).await;
        let many = counted.of_steps(&client, steps(24)).await;
        let each = (many - few) / 20.0;
        assert!(each <= 2.1, "{each} statements a step: {few} and {many}");
        for consumer in consumers {
            consumer.stop().await.unwrap();
        }
    }

    /// With 64 operations in flight, their writes go out together.
    #[tokio::test(flavor = "multi_thread")]
    async fn steps_of_many_operations_share_their_round_trips() {
        let counted = Counted::new();
        let client = counted.client(&MemoryTransport::new()).await;
        let consumer = client.consumer(registry()).with_concurrency(64).spawn();
        let before = counted.statements();
        let mut loops = JoinSet::new();
        for _ in 0..64 {
            let producer = client.producer();
            loops.spawn(async move {
                for _ in 0..4 {
                    let steps = vec![Step::new(Here {}); 3];
                    let run = producer.launch_steps("here.Run", steps).await;
                    run.unwrap().wait().await.unwrap();
                }
            });
        }
        while let Some(ended) = loops.join_next().await {
            ended.unwrap();
        }
        let each = (counted.statements() - before) / (64.0 * 4.0 * 3.0);
        assert!(each <= 0.5, "{each} statements a step");
        consumer.stop().await.unwrap();
    }

    /// A consumer looks for leases that are due from time to time, and renews all of them at once.
    #[tokio::test(flavor = "multi_thread")]
    async fn leases_that_are_due_at_one_time_share_their_round_trips() {
        const RUNS: u32 = 64;
        let counted = Counted::new();
        let client = counted.client(&MemoryTransport::new()).await;
        let (begun, end) = (Arc::<AtomicU32>::default(), Arc::<Notify>::default());
        let (count, wait) = (Arc::clone(&begun), Arc::clone(&end));
        let work = move |_: Here| {
            let end = Arc::clone(&wait).notified_owned();
            count.fetch_add(1, Ordering::SeqCst);
            end
        };
        let registry = Registry::new().task(work).build().unwrap();
        let lease = Duration::from_secs(3);
        let consumer = client.consumer(registry).with_lease_duration(lease);
        let consumer = consumer.with_concurrency(64).spawn();
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            let run = client
                .producer()
                .launch_steps("here.Run", vec![Step::new(Here {})]);
            runs.push(run.await.unwrap());
        }
        while begun.load(Ordering::SeqCst) < RUNS {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (statements, swaps) = (counted.statements(), counted.swaps());
        // Each lease is renewed about four times.
        tokio::time::sleep(lease * 3 / 2).await;
        let renewals = counted.swaps() - swaps;
        assert!(renewals >= f64::from(2 * RUNS), "{renewals} renewals");
        let each = (counted.statements() - statements) / renewals;
        assert!(
            each <= 0.6,
            "{each} statements for each of {renewals} renewals"
        );
        end.notify_waiters();
        for run in runs {
            assert_eq!(run.wait().await.unwrap().status, Status::Success);
        }
        assert_eq!(begun.load(Ordering::SeqCst), RUNS, "no lease was lost");
        consumer.stop().await.unwrap();
    }
);
