use std::time::Duration;

use kser::task::IntoTask as _;
use kser::{Registry, RetryPolicy, Step};
use serde_json::Value;

use super::runs::{Charge, Check, charge};
use super::world::World;

/// The time of all waits of these tests, in seconds.
const HOUR: u64 = 3600;

/// Makes a world with a step in back-off, an external step, and a delayed step.
async fn with_waits(world: World) -> World {
    let hour = Duration::from_secs(HOUR);
    let again = charge.with_retry(RetryPolicy::exponential(3, hour));
    let registry = Registry::new().task(again).build().expect("a registry");
    let consumer = world.client.consumer(registry).spawn();
    let producer = world.client.producer();
    let launch = |id: &'static str, step: Step| {
        producer
            .launch_steps("billing.Invoice", vec![step])
            .with_id(id)
    };
    launch("retried-1", Step::new(Charge { order: 100 }))
        .await
        .expect("a run");
    launch("external-1", Step::new(Check {}).external(2 * hour))
        .await
        .expect("a run");
    tokio::time::sleep(Duration::from_secs(5)).await;
    consumer.stop().await.expect("a stop");
    world
}

/// The waits are listed from all places, the earliest first, and each one once: the delayed record of a stored run is the same wait.
#[tokio::test(start_paused = true)]
async fn waits_are_listed_the_earliest_first() {
    let world = with_waits(World::new().await).await;
    let producer = world.client.producer();
    producer
        .send(Check {})
        .with_delay(Duration::from_secs(60))
        .await
        .unwrap();
    let answer = world.kser("waiting --json").await;
    let waiting: Value = serde_json::from_str(&answer.text).unwrap();
    let kinds = waiting["waits"].as_array().unwrap().iter().map(|wait| {
        let text = |name: &str| wait[name].as_str().unwrap_or("-").to_owned();
        [text("kind"), text("entrypoint"), text("run")]
    });
    // The clock of the transport is that of the machine, years after that of the store.
    let expected = [
        ["retry", "billing.Charge", "retried-1"],
        ["external", "billing.Check", "external-1"],
        ["delayed", "billing.Check", "-"],
    ];
    assert_eq!(kinds.collect::<Vec<_>>(), expected, "{waiting:#}");
    assert_eq!(waiting["found"], 3);
    let shown = world.kser("waiting -n 1").await.text;
    assert!(shown.contains("… 2 more were found: -n 3"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn waits_are_shown_in_narrow_and_wide_terminals() {
    let world = with_waits(World::still().await).await;
    for width in [60, 200] {
        let path = format!(
            "{}/tests/cli/shown/waiting.{width}.txt",
            env!("CARGO_MANIFEST_DIR")
        );
        let expected = snapbox::Data::read_from(path.as_ref(), None).raw();
        snapbox::assert_data_eq!(world.wide("waiting", width).await, expected);
    }
}

/// A list that leaves something out says so.
#[tokio::test(start_paused = true)]
async fn waits_that_are_not_read_are_named() {
    let world = World::new().await;
    let producer = world.client.producer();
    for number in 0..3 {
        let step = Step::new(Charge { order: number });
        producer
            .launch_steps("billing.Invoice", vec![step])
            .await
            .unwrap();
    }
    let shown = world.kser("waiting --read 2").await.text;
    assert!(shown.contains("nothing that can be seen waits"), "{shown}");
    assert!(
        shown.contains("RUNNING runs beyond the 2 that were launched last"),
        "{shown}"
    );
    assert!(shown.contains("which consumers keep in memory"), "{shown}");
    let all = world.kser("waiting").await.text;
    assert!(!all.contains("beyond"), "{all}");
}
