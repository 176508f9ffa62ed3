//! All that an operation may do, at once: retries, a panic, what handlers send and launch, a failure for good, poison, and
//! lone tasks of one key.

use std::time::Duration;

use kser::run::RunId;
use kser::{Context, Entrypoint, IntoTask, RetryPolicy, Status, Step, TaskError};
use kser_testkit::{Effects, Faults, Run, Setup, Sim, World};
use serde::{Deserialize, Serialize};

use crate::{any_single_at_first, sweeps_are_long};

macro_rules! entrypoint {
    ($name:ident, $path:literal) => {
        #[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
        #[entrypoint($path)]
        struct $name {
            number: u32,
        }
    };
}

entrypoint!(Flaky, "mill.Flaky");
entrypoint!(Slow, "mill.Slow");
entrypoint!(Send, "mill.Send");
entrypoint!(Doomed, "mill.Doomed");
entrypoint!(Note, "diary.Note");
entrypoint!(Child, "mill.Child");

async fn child(child: Child) -> Result<Vec<Step>, TaskError> {
    let number = child.number;
    Ok(vec![Step::new(Slow { number })])
}

fn handlers(world: &mut World, mill: &Effects) {
    let (flaky, slow, send, note) = (mill.clone(), mill.clone(), mill.clone(), mill.clone());
    let flaky = move |ctx: Context, _: Flaky| {
        let mill = flaky.clone();
        async move {
            mill.call("flaky").with_key(ctx.idempotency_key()).await?;
            match ctx.attempt() {
                1 => Err(TaskError::temporary("Weather", "it rains")),
                _ => Ok(()),
            }
        }
    };
    let slow = move |ctx: Context, _: Slow| {
        let mill = slow.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            mill.call("slow").with_key(ctx.idempotency_key()).await
        }
    };
    let send = move |ctx: Context, send_: Send| {
        let mill = send.clone();
        async move {
            let number = send_.number;
            ctx.send(Note { number })?;
            ctx.launch(Child { number })?;
            mill.call("send").with_key(ctx.idempotency_key()).await
        }
    };
    let note = move |ctx: Context, _: Note| {
        let mill = note.clone();
        async move { mill.call("note").with_key(ctx.idempotency_key()).await }
    };
    let doomed = |_: Doomed| async { Err::<(), _>(TaskError::permanent("Broken", "for good")) };
    let often = RetryPolicy::exponential(6, Duration::from_secs(7));
    world
        .consumers(2)
        .task(flaky.into_task().with_retry(often.clone()))
        .task(slow.into_task().with_retry(often.clone()))
        .task(send.into_task().with_retry(often.clone()))
        .task(doomed)
        .operation(child);
    world.consumers(1).task(note.into_task().with_retry(often));
}

pub(crate) fn mill() -> Sim<(RunId, RunId, Effects)> {
    Sim::new(|world| {
        let mill = world.effects("mill");
        handlers(world, &mill);
        let number = 1;
        let good = vec![
            Step::new(Flaky { number }),
            Step::new(Send { number }),
            Step::new(Slow { number }),
        ];
        let good = world.launch_steps("mill.Good", good);
        let bad = vec![Step::new(Slow { number }), Step::new(Doomed { number })];
        let bad = world.launch_steps("mill.Bad", bad);
        for number in 1..=2 {
            world.send_with_key(Note { number }, "one key");
        }
        world.client(|kser| async move { kser.producer().send_bytes("diary", "no message").await });
        (good, bad, mill)
    })
}

pub(crate) fn is_done(run: &Run<'_, (RunId, RunId, Effects)>) {
    let (good, bad, mill) = run.state;
    run.assert_succeeded(good);
    run.assert_failed(bad);
    mill.assert_at_least_once(["flaky", "slow", "send", "note"]);
    let children = run
        .runs()
        .into_iter()
        .filter(|(id, _)| id != good && id != bad);
    let children: Vec<_> = children.map(|(_, status)| status).collect();
    assert_eq!(
        children,
        [Some(Status::Success)],
        "one child, which succeeds"
    );
}

fn sweep(setup: Setup) {
    let sim = mill().on(setup.clone()).faults(any_single_at_first());
    let report = sim.check(is_done);
    assert!(report.runs > 300, "{report:?}");
    // After many faults a run may fail: three attempts without a report are its end. The invariants hold all the same.
    mill()
        .on(setup)
        .faults(Faults::any_single().only_drawn())
        .random(if sweeps_are_long() { 30 } else { 10 })
        .check(|run| drop(run.tasks()));
}

#[test]
fn stored_all_of_it_survives_any_single_fault() {
    sweep(Setup::stored());
}

#[test]
fn carried_exactly_once_all_of_it_survives_any_single_fault() {
    sweep(Setup::exactly_once());
}

#[test]
fn carried_at_least_once_all_of_it_survives_any_single_fault() {
    sweep(Setup::at_least_once());
}
