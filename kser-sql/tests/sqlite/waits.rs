//! A caller that waits for a run learns of its end without delay.

use std::time::Duration;

use kser::{Client, Entrypoint, Registry, Step, TaskError};
use kser_sql::SqliteStore;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::file::File;

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("test.Order")]
struct Order {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("test.Charge")]
struct Charge {}

async fn order(_: Order) -> Result<Vec<Step>, TaskError> {
    Ok(vec![Step::new(Charge {})])
}

async fn charge(_: Charge) {}

#[tokio::test(start_paused = true)]
async fn runs_that_have_ended_are_waited_for_in_turn_without_a_pause() {
    let file = File::new();
    let store = SqliteStore::open(file.path()).await.unwrap();
    let client = Client::builder_from_url("memory://").store(store);
    let client = client.build().await.unwrap();
    let registry = Registry::new()
        .operation(order)
        .task(charge)
        .build()
        .unwrap();
    let consumer = client.consumer(registry).spawn();
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(client.producer().launch(Order {}).await.unwrap());
    }
    // All have ended after it.
    sleep(Duration::from_secs(60)).await;
    let began = Instant::now();
    for run in &runs {
        run.result().await.unwrap();
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    consumer.stop().await.unwrap();
}
