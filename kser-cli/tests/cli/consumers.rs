use std::time::Duration;

use kser::consumer::{ConsumerState, RunningConsumer};
use kser::{Step, run::Status};
use kser_cli::Exit;
use serde_json::Value;

use super::runs::{Charge, registry};
use super::world::World;

/// The time in which a consumer announces itself, and obeys.
const BEAT: Duration = Duration::from_secs(6);

async fn json(world: &World, line: &str) -> Value {
    let answer = world.kser(&format!("{line} --json")).await;
    serde_json::from_str(&answer.text).expect("one document")
}

#[tokio::test(start_paused = true)]
async fn consumers_are_shown_while_they_are_alive() {
    let world = World::new().await;
    let none = world.kser("consumers ls").await;
    assert_eq!(
        (none.exit, none.text.as_str()),
        (Exit::Done, "no consumer has announced itself\n")
    );
    let consumer = world
        .client
        .consumer(registry())
        .with_instance("billing-0")
        .spawn();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let list = world.kser("consumers ls").await.text;
    assert!(
        list.contains("billing-0") && list.contains("running"),
        "{list}"
    );
    let list = json(&world, "consumers ls").await;
    let id = list[0]["id"].as_str().unwrap().to_owned();
    for name in [id.as_str(), "billing-0"] {
        let one = world.kser(&format!("consumers show {name}")).await.text;
        assert!(
            one.contains("names      billing.Charge, billing.Check"),
            "{one}"
        );
    }
    assert_eq!(
        world.kser("consumers show nobody").await.exit,
        Exit::NotFound
    );
    consumer.stop().await.unwrap();
    assert_eq!(json(&world, "consumers ls").await, serde_json::json!([]));
}

async fn obedient(world: &World) -> RunningConsumer {
    let consumer = world.client.consumer(registry()).with_instance("billing-0");
    let consumer = consumer.with_remote_control().spawn();
    tokio::time::sleep(BEAT).await;
    consumer
}

/// The run of a consumer that is paused from outside waits, its diagnosis names the command, and the command ends the pause.
#[tokio::test(start_paused = true)]
async fn a_consumer_is_paused_and_resumed_from_outside() {
    let world = World::live().await;
    let consumer = obedient(&world).await;
    let paused = world
        .kser("consumers pause billing-0 --for 2h --actor oncall --reason bank-is-away")
        .await;
    assert_eq!(
        (paused.exit, paused.text.as_str()),
        (Exit::Done, "kser.billing/billing-0 is paused for 2 h\n")
    );
    let list = world.kser("consumers ls").await.text;
    assert!(
        list.contains("paused by oncall (bank-is-away) until 20"),
        "{list}"
    );
    let shown = json(&world, "consumers show billing-0").await;
    assert_eq!(
        (&shown[0]["state"], &shown[0]["paused_by"]["actor"]),
        (&"paused".into(), &"oncall".into())
    );
    let steps = vec![Step::new(Charge { order: 0 })];
    let run = world
        .client
        .producer()
        .launch_steps("billing.Invoice", steps);
    let run = run.with_id("waits-1").await.unwrap();
    tokio::time::sleep(BEAT).await;
    assert_eq!(run.status().await.unwrap().status, Status::Running);
    let why = json(&world, "runs why waits-1").await;
    assert_eq!(
        (&why["reason"], &why["command"]),
        (
            &"all_paused".into(),
            &"kser consumers resume billing-0".into()
        ),
        "{why}"
    );
    assert!(
        why["text"]
            .as_str()
            .unwrap()
            .ends_with("such as billing-0, by oncall: bank-is-away"),
        "{why}"
    );
    assert_eq!(
        world.kser("consumers resume billing-0").await.exit,
        Exit::Done
    );
    assert_eq!(run.wait().await.unwrap().status, Status::Success);
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_drained_from_outside() {
    let world = World::live().await;
    let consumer = obedient(&world).await;
    let drained = world.kser("consumers drain kser.billing/billing-0").await;
    assert_eq!(
        (drained.exit, drained.text.as_str()),
        (Exit::Done, "kser.billing/billing-0 shuts down\n")
    );
    tokio::time::sleep(BEAT).await;
    assert_eq!(consumer.handle().state(), ConsumerState::Stopped);
    consumer.join().await.unwrap();
    assert_eq!(
        world.kser("consumers drain billing-0").await.exit,
        Exit::NotFound
    );
}

/// A consumer whose program does not allow it is left, and one that does not live has an exit code of its own.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_does_not_obey_has_an_exit_code() {
    let world = World::live().await;
    let consumer = world
        .client
        .consumer(registry())
        .with_instance("billing-0")
        .spawn();
    tokio::time::sleep(BEAT).await;
    let refused = world.kser("consumers pause billing-0").await;
    assert_eq!(refused.exit, Exit::Refused, "{refused:?}");
    assert!(refused.error.unwrap().contains("obeys no operator"));
    consumer.stop().await.unwrap();
    obedient(&world).await.kill();
    let late = world.kser("consumers pause billing-0 --wait 2s").await;
    assert_eq!(late.exit, Exit::TimedOut, "{late:?}");
    assert!(late.text.contains("is not seen to obey"), "{late:?}");
}
