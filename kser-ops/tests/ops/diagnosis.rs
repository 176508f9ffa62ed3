//! Why a run stands, as real consumers and a real store tell it.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use kser::consumer::{Consumer, RunningConsumer};
use kser::run::{Run, RunId};
use kser::{Context, Entrypoint, Registry, RetryPolicy, Step, TaskError};
use kser_ops::{OpsError, Reason};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::setup::World;

const BEAT: Duration = Duration::from_secs(6);

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("billing.Charge")]
struct Charge {
    fails: bool,
}

/// A task that reports its progress and takes ten minutes, or fails.
fn charging() -> Registry {
    let charge = |ctx: Context, charge: Charge| async move {
        if charge.fails {
            return Err(TaskError::new("Refused", "connection refused"));
        }
        ctx.progress(37, 100, "pages");
        sleep(Duration::from_secs(600)).await;
        Ok(())
    };
    let policy = RetryPolicy::exponential(2, Duration::from_secs(60));
    let task = kser::task::task_fn(charge).with_retry(policy);
    Registry::new().task(task).build().unwrap()
}

fn other() -> Registry {
    let refund = async |_: Refund| {};
    Registry::new().task(refund).build().unwrap()
}

#[derive(Debug, Serialize, Deserialize, Entrypoint)]
#[entrypoint("billing.Refund")]
struct Refund {}

async fn launch(world: &World, step: Step) -> Run {
    let run = world
        .client
        .producer()
        .launch_steps("billing.Invoice", vec![step]);
    run.await.unwrap()
}

fn step(fails: bool) -> Step {
    Step::new(Charge { fails })
}

fn consumer(world: &World, registry: Registry) -> Consumer {
    let consumer = world.client.consumer(registry).with_instance("billing-2");
    consumer
        .with_version("1.4.1")
        .with_shutdown_timeout(Duration::ZERO)
}

async fn text(world: &World, run: &Run) -> String {
    world.ops.diagnose(run.id()).await.unwrap().text
}

async fn started(consumer: Consumer) -> RunningConsumer {
    let consumer = consumer.spawn();
    sleep(BEAT).await;
    consumer
}

#[tokio::test(start_paused = true)]
async fn a_run_without_a_consumer_and_with_one_of_an_older_version() {
    let world = World::new().await;
    let run = launch(&world, step(false)).await;
    let none = "step 1 (billing.Charge) waits: no consumer of kser.billing receives from billing";
    assert_eq!(text(&world, &run).await, none);
    let old = started(consumer(&world, other())).await;
    let expected = "step 1 (billing.Charge) waits: none of 1 consumer of kser.billing (version 1.4.1) has registered billing.Charge";
    assert_eq!(text(&world, &run).await, expected);
    old.stop().await.unwrap();
    assert_eq!(text(&world, &run).await, none);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_runs_is_shown_with_its_progress() {
    let world = World::new().await;
    let run = launch(&world, step(false)).await;
    let consumer = started(consumer(&world, charging())).await;
    sleep(Duration::from_secs(180)).await;
    let shown = text(&world, &run).await;
    assert!(
        shown.starts_with("step 1 (billing.Charge) runs on billing-2 for 3 min"),
        "{shown}"
    );
    assert!(shown.ends_with("(37 of 100 pages)"), "{shown}");
    run.cancel().await.unwrap();
    let expected = "the run was cancelled, and the attempt at step 1 (billing.Charge) on billing-2 has not ended";
    assert_eq!(text(&world, &run).await, expected);
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_consumer_was_killed_waits_for_its_lease() {
    let world = World::new().await;
    let run = launch(&world, step(false)).await;
    let consumer = consumer(&world, charging()).with_lease_duration(Duration::from_secs(60));
    let consumer = started(consumer).await;
    consumer.kill();
    sleep(Duration::from_secs(25)).await;
    let shown = world.ops.diagnose(run.id()).await.unwrap();
    assert!(
        matches!(&shown.reason, Reason::LeaseOfSilent { on, .. } if on == "billing-2"),
        "{shown:?}"
    );
    assert_eq!(shown.command, "kser consumers show billing-2");
    sleep(Duration::from_secs(60)).await;
    let shown = world.ops.diagnose(run.id()).await.unwrap();
    assert!(
        matches!(&shown.reason, Reason::LeaseOver { .. }),
        "{shown:?}"
    );
    // A waiting run of the same topic.
    let other = launch(&world, step(false)).await;
    let shown = world.ops.diagnose(other.id()).await.unwrap();
    assert!(
        matches!(&shown.reason, Reason::AllSilent { consumers: 1, .. }),
        "{shown:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_is_in_back_off_and_then_failed() {
    let world = World::new().await;
    let run = launch(&world, step(true)).await;
    let consumer = started(consumer(&world, charging())).await;
    let shown = world.ops.diagnose(run.id()).await.unwrap();
    assert!(shown.text.contains("is tried again in "), "{shown:?}");
    assert!(
        shown.text.contains("after 1 attempt: ") && shown.text.contains("connection refused"),
        "{shown:?}"
    );
    assert_eq!(
        shown.command,
        format!("kser runs retry {} --step 1", run.id())
    );
    sleep(Duration::from_secs(70)).await;
    let shown = world.ops.diagnose(run.id()).await.unwrap();
    assert!(
        shown
            .text
            .starts_with("step 1 (billing.Charge) failed after 2 attempts: "),
        "{shown:?}"
    );
    assert_eq!(shown.command, format!("kser runs resume {}", run.id()));
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn consumers_that_are_paused_or_full_are_named() {
    let world = World::new().await;
    let full = consumer(&world, charging()).with_concurrency(1);
    let consumer = started(full).await;
    let first = launch(&world, step(false)).await;
    sleep(BEAT).await;
    let second = launch(&world, step(false)).await;
    sleep(BEAT).await;
    assert!(text(&world, &first).await.contains("runs on billing-2"));
    let shown = world.ops.diagnose(second.id()).await.unwrap();
    assert!(
        matches!(shown.reason, Reason::Full { places: 1, .. }),
        "{shown:?}"
    );
    consumer.handle().pause();
    sleep(BEAT).await;
    let expected =
        "step 1 (billing.Charge) waits: 1 consumer of kser.billing is paused, such as billing-2";
    assert_eq!(text(&world, &second).await, expected);
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_external_step_waits_for_its_report() {
    let world = World::new().await;
    let external = step(false).external(Duration::from_secs(7200));
    let run = launch(&world, external).await;
    let consumer = started(consumer(&world, charging())).await;
    let shown = world.ops.diagnose(run.id()).await.unwrap();
    let expected =
        "step 1 (billing.Charge) waits for a report from outside, for at most 1 h 59 min more";
    assert_eq!(shown.text, expected);
    consumer.stop().await.unwrap();
}

/// A record that is not there, as after a topic was deleted, is told from one that waits.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_lost_is_told() {
    let world = World::new().await;
    let run = launch(&world, step(false)).await;
    // The message is taken by a consumer of another program, which does not answer for it.
    let interest =
        kser::backend::Interest::group("kser.billing", vec!["billing".try_into().unwrap()]);
    let transport: &dyn kser::backend::Transport = &world.transport;
    let mut thief = transport.subscribe(interest).await.unwrap();
    for stolen in thief
        .receive(kser::backend::Room::records(9))
        .await
        .unwrap()
    {
        let _ = stolen.ticket.settle(Vec::new()).await.unwrap();
    }
    thief.close().await.unwrap();
    let consumer = started(consumer(&world, charging())).await;
    let shown = world.ops.diagnose(run.id()).await.unwrap();
    assert!(matches!(shown.reason, Reason::Lost), "{shown:?}");
    assert!(
        shown.text.contains("a sweep publishes it again in 5"),
        "{shown:?}"
    );
    sleep(Duration::from_secs(70)).await;
    assert!(text(&world, &run).await.contains("runs on billing-2"));
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_run_is_an_error() {
    let world = World::new().await;
    let shown = world.ops.diagnose(&RunId::from("nothing")).await;
    assert!(
        matches!(shown, Err(OpsError::Kser(kser::Error::UnknownRun { .. }))),
        "{shown:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_is_estimated_by_the_times_of_earlier_ones() {
    let world = World::new().await;
    let consumer = started(consumer(&world, charging())).await;
    let estimate = async |run: &Run| world.ops.estimate(run.id()).await.unwrap();
    for _ in 0..5 {
        let run = launch(&world, step(false)).await;
        sleep(BEAT).await;
        assert_eq!(estimate(&run).await, None, "too few runs");
        run.wait().await.unwrap();
        assert_eq!(estimate(&run).await, None, "it has ended");
    }
    let run = launch(&world, step(false)).await;
    sleep(BEAT).await;
    let estimated = estimate(&run).await.unwrap();
    // The handler has reported 37 of 100 pages, and took ten minutes each time.
    assert_eq!((estimated.runs, estimated.left.as_secs()), (5, 378));
    assert!((0.36..0.38).contains(&estimated.share), "{estimated:?}");
    consumer.stop().await.unwrap();
}
