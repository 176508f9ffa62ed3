use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kser::consumer::RunningConsumer;
use kser::run::{RunFilter, Status};
use kser::{Entrypoint, Registry, Run, Step, TaskError};
use kser_cli::Exit;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::world::World;

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("billing.Charge")]
struct Charge {}

/// A bug in the handler of a step, and the number of steps that succeeded.
#[derive(Clone, Default)]
struct Bug {
    is_there: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
}

async fn charge(bug: Bug, _: Charge) -> Result<(), TaskError> {
    if bug.is_there.load(Ordering::Relaxed) {
        return Err(TaskError::permanent("Refused", "the bank refuses"));
    }
    bug.accepted.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Launches runs that fail because of the bug.
async fn fail(world: &World, bug: &Bug, runs: usize) -> (RunningConsumer, Vec<Run>) {
    bug.is_there.store(true, Ordering::Relaxed);
    let registry = Registry::new().task_with(bug.clone(), charge).build();
    let consumer = world.client.consumer(registry.expect("a registry")).spawn();
    let mut launched = Vec::new();
    for _ in 0..runs {
        let steps = vec![Step::new(Charge {})];
        let run = world
            .client
            .producer()
            .launch_steps("billing.Invoice", steps);
        launched.push(run.await.expect("a run"));
    }
    for run in &launched {
        assert_eq!(run.wait().await.expect("an end").status, Status::Failed);
    }
    sleep(Duration::from_secs(1)).await;
    (consumer, launched)
}

#[tokio::test(start_paused = true)]
async fn a_bulk_replay_is_a_dry_run_until_the_number_is_typed() {
    let world = World::new().await;
    let bug = Bug::default();
    let (_consumer, _) = fail(&world, &bug, 5).await;
    bug.is_there.store(false, Ordering::Relaxed);
    let replay = "letters replay --topic billing";
    let dry = world.kser(replay).await;
    assert_eq!(dry.exit, Exit::Refused);
    assert!(
        dry.text.contains("This is a dry run: --yes 5 does it."),
        "{}",
        dry.text
    );
    assert_eq!(
        world.kser(&format!("{replay} --dry-run")).await.exit,
        Exit::Done
    );
    let wrong = world.typed(replay, "4\n").await;
    assert_eq!(
        (wrong.exit, wrong.text.as_str()),
        (Exit::Refused, "nothing was done\n")
    );
    let other = world.kser(&format!("{replay} --yes 4")).await;
    assert_eq!(other.exit, Exit::Refused);
    let json = world.kser(&format!("{replay} --json")).await;
    assert_eq!((json.exit, json.text.as_str()), (Exit::Refused, ""));
    assert_eq!(
        (
            world.letters("billing").await,
            bug.accepted.load(Ordering::Relaxed)
        ),
        (5, 0)
    );

    let done = world.typed(replay, "5\n").await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    let asked = done.asked.unwrap();
    assert!(
        asked.starts_with("5 dead letters would be replayed")
            && asked.ends_with("Type 5 to go on: "),
        "{asked}"
    );
    assert!(
        done.text
            .contains("5 replayed · 5 succeeded · 0 failed again"),
        "{}",
        done.text
    );
    assert_eq!(
        (
            world.letters("billing").await,
            bug.accepted.load(Ordering::Relaxed)
        ),
        (0, 5)
    );
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_again_stops_the_rest() {
    let world = World::new().await;
    let bug = Bug::default();
    let (_consumer, _) = fail(&world, &bug, 6).await;
    let replay = "letters replay --topic billing --yes 6 --canary 2 --wait 5s";
    let stopped = world.kser(replay).await;
    assert_eq!(stopped.exit, Exit::Part);
    let text = stopped.text;
    assert!(
        text.contains(
            "stopped: of the first 2, 2 failed again, and 0 had not ended in time; 4 were not tried"
        ),
        "{text}"
    );
    // The two that failed again are letters again.
    assert_eq!(world.letters("billing").await, 6);
    let ls = world.kser("letters causes billing --json").await.text;
    let causes: serde_json::Value = serde_json::from_str(&ls).unwrap();
    assert_eq!(causes["causes"][0]["replays"], 1);
}

#[tokio::test(start_paused = true)]
async fn an_act_stops_when_too_many_fail_again() {
    let world = World::new().await;
    let bug = Bug::default();
    let (_consumer, _) = fail(&world, &bug, 20).await;
    let replay = "letters replay --topic billing --yes 20 --rate 2 --stop-after 3 --json";
    let stopped = world.kser(replay).await;
    assert_eq!(stopped.exit, Exit::Part);
    let answer: serde_json::Value = serde_json::from_str(&stopped.text).unwrap();
    let report = &answer["report"];
    assert_eq!(report["stopped"], "3 runs failed again");
    let done = report["done"].as_u64().unwrap();
    assert!((3..6).contains(&done), "{report}");
    assert_eq!(report["not_tried"], 20 - done);
}

/// A run that a colleague has repaired is left, and the plan says so beforehand.
#[tokio::test(start_paused = true)]
async fn a_run_that_was_repaired_otherwise_is_left() {
    let world = World::new().await;
    let bug = Bug::default();
    let (_consumer, runs) = fail(&world, &bug, 3).await;
    bug.is_there.store(false, Ordering::Relaxed);
    runs[1].resume().await.unwrap();
    runs[1].wait().await.unwrap();
    let dry = world
        .kser("letters replay --topic billing --dry-run --json")
        .await;
    let answer: serde_json::Value = serde_json::from_str(&dry.text).unwrap();
    let plan = &answer["plan"];
    assert_eq!((&plan["taken"], &plan["refused"]), (&2.into(), &1.into()));
    assert_eq!(plan["left"][0]["run"], runs[1].id().as_str());

    let done = world.kser("letters replay --topic billing --yes 2").await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    let reason = format!(
        "run {} does not stand there: the step is done",
        runs[1].id()
    );
    assert!(done.text.contains(&reason), "{}", done.text);
    assert_eq!(
        (
            world.letters("billing").await,
            bug.accepted.load(Ordering::Relaxed)
        ),
        (1, 3)
    );
    // One that is named is no bulk act.
    let one = world.kser("letters replay billing/0/1").await;
    assert_eq!(one.exit, Exit::Refused, "{one:?}");
    assert_eq!(
        world.kser("letters discard billing/0/1").await.exit,
        Exit::Done
    );
    assert_eq!(world.letters("billing").await, 0);
    let failed = RunFilter::default().with_status(Status::Failed);
    assert_eq!(world.client.runs().count(&failed, 10).await.unwrap(), 0);
}

/// Letters that a colleague holds are left, with the reason.
#[tokio::test(start_paused = true)]
async fn letters_in_other_hands_are_left() {
    let world = World::new().await.with_letters().await;
    let mut other = world.client.dead_letters("billing").await.unwrap();
    let held = other.list(2).await.unwrap();
    let done = world.kser("letters discard --topic billing --yes 5").await;
    assert_eq!(done.exit, Exit::Part, "{done:?}");
    assert!(
        done.text.contains("another session has it in hand"),
        "{}",
        done.text
    );
    drop(held);
    other.close().await.unwrap();
    assert_eq!(world.letters("billing").await, 2);
    let rest = world.kser("letters discard --topic billing --yes 2").await;
    assert_eq!((rest.exit, world.letters("billing").await), (Exit::Done, 0));
}

/// A bulk replay that is killed has settled the letters that it replayed; a second replay does the rest.
#[tokio::test(start_paused = true)]
async fn an_act_that_is_killed_is_run_again() {
    let world = World::new().await;
    let bug = Bug::default();
    let (_consumer, _) = fail(&world, &bug, 10).await;
    bug.is_there.store(false, Ordering::Relaxed);
    let line = "letters replay --topic billing --yes 10 --rate 1";
    let killed = tokio::time::timeout(Duration::from_millis(4500), world.kser(line)).await;
    assert!(killed.is_err());
    sleep(Duration::from_secs(1)).await;
    let left = world.letters("billing").await;
    assert!((1..10).contains(&left), "{left}");
    let rest = world
        .kser(&format!("letters replay --topic billing --yes {left}"))
        .await;
    assert_eq!(rest.exit, Exit::Done, "{rest:?}");
    assert_eq!(
        (
            world.letters("billing").await,
            bug.accepted.load(Ordering::Relaxed)
        ),
        (0, 10)
    );
}

/// Renewed letters are at the end of their topic, with the same headers.
#[tokio::test(start_paused = true)]
async fn letters_are_renewed() {
    let world = World::new().await.with_letters().await;
    let ls = async || {
        let text = world.kser("letters ls billing --json").await.text;
        let letters: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        letters
    };
    let before = ls().await;
    let renewed = world.kser("letters renew --topic billing --yes 5").await;
    assert_eq!(renewed.exit, Exit::Done, "{renewed:?}");
    assert!(renewed.text.ends_with("\n5 renewed\n"), "{renewed:?}");
    let after = ls().await;
    assert_eq!(after.len(), 5);
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before["address"], after["address"]);
        for field in ["cause", "run", "error", "attempts", "last_failed", "origin"] {
            assert_eq!(before[field], after[field], "{field}");
        }
    }
    let one = world.kser("letters renew billing/0/5").await;
    assert_eq!((one.exit, one.text.as_str()), (Exit::Done, "1 renewed\n"));
    assert_eq!(world.letters("billing").await, 5);
}

#[tokio::test(start_paused = true)]
async fn letters_that_were_replayed_too_often_are_left_alone() {
    let world = World::new().await.with_letters().await;
    let line = "letters replay --topic billing --dry-run --json --max-replays";
    for (most, taken) in [(0, 4), (1, 5)] {
        let dry = world.kser(&format!("{line} {most}")).await;
        let answer: serde_json::Value = serde_json::from_str(&dry.text).unwrap();
        assert_eq!(answer["plan"]["taken"], taken, "{most}");
    }
}
