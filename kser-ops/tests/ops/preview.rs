//! The preview of an act equals the act: for random states of runs and random verbs, and for their dead letters.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use kser::run::{Run, RunId, Runs, Status};
use kser::{Context, Entrypoint, Error, Outcome, Registry, RetryPolicy, Step, TaskError};
use kser_ops::{LetterFilter, LetterVerb, Pace, RunAct, RunChoice};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::setup::World;

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Charge")]
struct Charge {
    /// 0 succeeds, 1 fails for good, 2 fails and is tried again in an hour.
    end: u8,
}

fn registry() -> Registry {
    let charge = async |_: Context, charge: Charge| match charge.end {
        0 => Ok(()),
        1 => Err(TaskError::permanent("Refused", "no")),
        _ => Err(TaskError::new("Later", "not now")),
    };
    let policy = RetryPolicy::exponential(3, Duration::from_secs(3600));
    let task = kser::task::task_fn(charge).with_retry(policy);
    Registry::new().task(task).build().unwrap()
}

/// A run: the ends of its steps, whether the last one is external, whether a consumer has seen it, and the verbs that it has had.
type Shape = (Vec<u8>, bool, bool, Vec<RunAct>);

fn act() -> impl Strategy<Value = RunAct> {
    let step = 0..4_u32;
    let outcome = || Outcome::text("by hand");
    prop_oneof![
        Just(RunAct::Resume),
        Just(RunAct::Cancel),
        Just(RunAct::Purge),
        Just(RunAct::Retry { step: None }),
        step.clone()
            .prop_map(|step| RunAct::Retry { step: Some(step) }),
        step.clone().prop_map(move |step| RunAct::Skip {
            step,
            outcome: outcome()
        }),
        step.prop_map(move |step| RunAct::Report {
            step,
            outcome: outcome()
        }),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let ends = prop::collection::vec(0..3_u8, 1..4);
    (
        ends,
        any::<bool>(),
        any::<bool>(),
        prop::collection::vec(act(), 0..3),
    )
}

async fn launch(world: &World, id: usize, (ends, is_external, _, _): &Shape) -> Run {
    let mut steps: Vec<Step> = ends
        .iter()
        .map(|end| Step::new(Charge { end: *end }))
        .collect();
    if *is_external {
        let last = steps.pop().unwrap();
        steps.push(last.external(Duration::from_secs(3600)));
    }
    let launch = world.client.producer().launch_steps("shop.Order", steps);
    launch.with_id(format!("run-{id}")).await.unwrap()
}

/// Does an act on one run, without a plan.
async fn alone(runs: &Runs, run: &RunId, act: &RunAct) -> Result<(), Error> {
    let step_id = |step: u32| match step {
        0 => run.as_str().into(),
        step => run.step(step),
    };
    match act {
        RunAct::Resume => runs.resume(run).await,
        RunAct::Cancel => runs.cancel(run).await,
        RunAct::Retry { step } => {
            let step = match step {
                Some(step) => *step,
                None => runs.status(run).await?.position,
            };
            runs.retry_step(run, &step_id(step)).await
        }
        RunAct::Skip { step, outcome } => {
            runs.skip_step(run, &step_id(*step), outcome.clone()).await
        }
        RunAct::Report { step, outcome } => {
            runs.report(run, &step_id(*step), outcome.clone()).await
        }
        _ => match runs.purge(run).await? {
            true => Ok(()),
            false => Err(Error::UnknownRun { id: run.clone() }),
        },
    }
}

/// Makes the runs of the shapes, and applies to each the verbs of its shape.
async fn world_of(shapes: &[Shape]) -> (World, Vec<RunId>) {
    let world = World::new().await;
    let runs = world.client.runs();
    let mut ids = Vec::new();
    for seen in [true, false] {
        for (id, shape) in shapes
            .iter()
            .enumerate()
            .filter(|(_, shape)| shape.2 == seen)
        {
            ids.push((launch(&world, id, shape).await.id().clone(), shape));
        }
        if seen {
            let consumer = world.client.consumer(registry()).spawn();
            sleep(Duration::from_secs(5)).await;
            consumer.stop().await.unwrap();
        }
    }
    for (id, (.., before)) in &ids {
        for act in before {
            // Which of them the rules refuse does not matter.
            let _ = alone(&runs, id, act).await;
        }
    }
    (world, ids.into_iter().map(|(id, _)| id).collect())
}

fn at_once() -> Pace {
    let mut pace = Pace::default();
    pace.wait = Duration::ZERO;
    pace
}

async fn preview_equals_act(shapes: Vec<Shape>, act: RunAct) -> usize {
    let (world, ids) = world_of(&shapes).await;
    let runs = world.client.runs();
    let plan = world
        .ops
        .plan_runs(act.clone(), RunChoice::Ids(ids.clone()));
    let plan = plan.await.unwrap();
    assert_eq!(plan.taken + plan.refused, ids.len() as u64);
    for left in &plan.left {
        let refused = alone(&runs, &left.run, &act).await;
        assert!(
            refused.is_err(),
            "{act:?} was to be refused of {}: {}",
            left.run,
            left.reason
        );
    }
    let pace = at_once();
    let report = world
        .ops
        .act_on_runs(&plan, ("oncall", "a test"), &pace, |_| ());
    let report = report.await.unwrap();
    assert_eq!(
        (report.done, report.refused),
        (plan.taken, 0),
        "{act:?}: {report:?}"
    );
    let failed = kser::run::RunFilter::default().with_status(Status::Failed);
    if act == RunAct::Resume {
        assert_eq!(
            runs.count(&failed, 100).await.unwrap(),
            0,
            "all that failed go on"
        );
    }
    plan.left.len()
}

/// Replays the dead letters of runs some of which have gone on since.
async fn preview_equals_replay(shapes: Vec<Shape>) {
    let (world, _) = world_of(&shapes).await;
    let (all, verb) = (LetterFilter::default, LetterVerb::Replay);
    let letters = world.ops.letter_causes(None, all()).await.unwrap().letters;
    let plan = world.ops.plan_letters(verb, None, all()).await.unwrap();
    assert_eq!(plan.taken + plan.refused, letters);
    if letters > 0 {
        let mut session = world.client.dead_letters("shop").await.unwrap();
        for letter in session.list(100).await.unwrap() {
            let place = letter.record_place();
            match plan.left.iter().find(|left| left.address.place() == place) {
                Some(left) => {
                    let refused = letter.replay().await;
                    assert!(refused.is_err(), "was to be refused: {left:?}");
                }
                None => letter.keep(),
            }
        }
        session.close().await.unwrap();
    }
    let report = world.ops.act_on_letters(&plan, &at_once(), |_| ()).await;
    let report = report.unwrap();
    assert_eq!((report.done, report.refused), (plan.taken, 0), "{report:?}");
    let rest = world.ops.letter_causes(None, all()).await.unwrap();
    assert_eq!(rest.letters, plan.refused, "what is refused stays");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_preview_says_what_the_act_does(shapes in prop::collection::vec(shape(), 1..8), act in act()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(preview_equals_act(shapes, act));
    }

    #[test]
    fn a_preview_of_a_replay_says_what_the_replay_does(shapes in prop::collection::vec(shape(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(preview_equals_replay(shapes));
    }
}
