//! The incident: three consumers with one bug, on Kafka and PostgreSQL, and five hundred failed runs.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kser::consumer::RunningConsumer;
use kser::run::{RunFilter, Status};
use kser::{Client, Entrypoint, Registry, Step, TaskError};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

pub(crate) const RUNS: u64 = 500;

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("billing.Check")]
struct Check {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("billing.Charge")]
struct Charge {
    order: u64,
}

async fn check(_: Check) -> String {
    "checked".to_owned()
}

async fn charge(has_bug: Arc<AtomicBool>, charge: Charge) -> Result<(), TaskError> {
    let refused = || TaskError::permanent("Refused", format!("order {} is refused", charge.order));
    match has_bug.load(Ordering::Relaxed) {
        true => Err(refused()),
        false => Ok(()),
    }
}

/// The backends and the consumers of the incident.
pub(crate) struct Night {
    pub(crate) kafka: String,
    pub(crate) store: String,
    has_bug: Arc<AtomicBool>,
    producer: Client,
    consumers: Vec<(RunningConsumer, Client)>,
}

impl Night {
    /// Starts the consumers, and waits until all runs have failed. Of the last ones the dead letters are on their way.
    pub(crate) async fn begin(name: &str) -> Self {
        let prefix = format!("{name}{}.", std::process::id());
        let kafka = format!("kafka://{}?prefix={prefix}", test_services::kafka());
        let store = test_services::postgres().url();
        let mut night = Self {
            has_bug: Arc::new(AtomicBool::new(true)),
            producer: connect(&kafka, &store).await,
            consumers: Vec::new(),
            kafka,
            store,
        };
        for number in 0..3 {
            night.consume(number).await;
        }
        night.fail().await;
        night
    }

    pub(crate) async fn connect(&self) -> Client {
        connect(&self.kafka, &self.store).await
    }

    async fn consume(&mut self, number: u32) {
        let registry = Registry::new()
            .task(check)
            .task_with(Arc::clone(&self.has_bug), charge);
        let registry = registry.build().unwrap();
        let client = self.connect().await;
        client.ensure_topics(&registry, Some(3)).await.unwrap();
        let consumer = client
            .consumer(registry)
            .with_instance(format!("billing-{number}"));
        self.consumers.push((consumer.spawn(), client));
    }

    async fn fail(&self) {
        let mut launches = JoinSet::new();
        for order in 0..RUNS {
            let steps = vec![Step::new(Check {}), Step::new(Charge { order })];
            let launch = self.producer.producer();
            let launch = launch.launch_steps("billing.Invoice", steps);
            launches.spawn(launch.with_id(format!("order-{order}")).into_future());
        }
        let launched = launches.join_all().await.into_iter();
        launched.for_each(|run| drop(run.unwrap()));
        let failed = RunFilter::default().with_status(Status::Failed);
        while self.producer.runs().count(&failed, RUNS).await.unwrap() < RUNS {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn mend_the_bug(&self) {
        self.has_bug.store(false, Ordering::Relaxed);
    }

    /// Checks that each step was accepted once, and stops the consumers.
    pub(crate) async fn end(self) {
        for order in 0..RUNS {
            let id = format!("order-{order}").into();
            let attempts = self.producer.runs().all_attempts(&id).await.unwrap();
            let accepted = attempts
                .iter()
                .filter(|attempt| attempt.status == Status::Success);
            let accepted: Vec<_> = accepted.map(|attempt| attempt.position).collect();
            assert_eq!(accepted, [1, 2], "order {order}: {attempts:?}");
        }
        for (consumer, _client) in self.consumers {
            consumer.stop().await.unwrap();
        }
    }
}

async fn connect(kafka: &str, store: &str) -> Client {
    let connected = kser::connect_with_store(kafka, store).await;
    connected.expect("a connection")
}
