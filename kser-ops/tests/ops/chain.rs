//! A run as its chain.

use kser::run::RunId;
use kser::{Entrypoint, IntoTask, Registry, RetryPolicy, Step, TaskError};
use kser_ops::StepState;
use serde::{Deserialize, Serialize};

use crate::setup::World;

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("print.Page")]
struct Print {
    page: u32,
}

async fn print(print: Print) -> Result<String, TaskError> {
    match print.page {
        13 => Err(TaskError::permanent("Jam", "page 13 is stuck")),
        page => Ok(format!("page {page}")),
    }
}

/// Prints pages until number 13.
async fn printed(world: &World, pages: u32) -> RunId {
    let registry = Registry::new().task(print.with_retry(RetryPolicy::never()));
    let consumer = world.client.consumer(registry.build().expect("a registry"));
    let consumer = consumer.spawn();
    let steps = (1..=pages).map(|page| Step::new(Print { page })).collect();
    let launch = world.client.producer().launch_steps("print.Book", steps);
    let run = launch.await.expect("a launch");
    run.wait().await.expect("an end");
    consumer.stop().await.expect("a stop");
    run.id().clone()
}

#[tokio::test(start_paused = true)]
async fn a_chain_has_the_steps_with_their_attempts_and_what_a_person_did() {
    let world = World::new().await;
    let id = printed(&world, 14).await;
    let runs = world.client.runs().by("ada", "printed by hand");
    let by_hand = kser::Outcome::text("by hand");
    runs.skip_step(&id, &id.step(13), by_hand)
        .await
        .expect("a skip");
    let chain = world.ops.chain(&id, None, false).await.expect("a chain");
    let states: Vec<_> = chain
        .chain
        .iter()
        .map(|step| (step.position, step.state))
        .collect();
    assert_eq!(states[0], (1, StepState::Done));
    assert_eq!(
        states[12..],
        [(13, StepState::Done), (14, StepState::Waiting)]
    );
    let stuck = &chain.chain[12];
    let [failed, skipped] = &stuck.attempts[..] else {
        panic!("an attempt and a verb: {stuck:?}");
    };
    assert_eq!(failed.attempt.text, "Jam (500): page 13 is stuck");
    assert!(failed.waited.is_some() && failed.attempt.outcome.is_none());
    let by = skipped.attempt.by.as_ref().expect("a verb");
    assert_eq!((by.actor.as_str(), skipped.waited), ("ada", None));
    assert_eq!(skipped.ready, failed.attempt.ended);
    assert_eq!(stuck.params, None);
    let shown = world.ops.chain(&id, None, true).await.expect("a chain");
    assert_eq!(shown.chain[12].params.as_deref(), Some(r#"{"page":13}"#));
    assert!(shown.chain[12].attempts[0].attempt.outcome.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_window_begins_at_any_step_of_a_long_run() {
    let world = World::new().await;
    let id = printed(&world, 12).await;
    let whole = world.ops.chain(&id, None, false).await.expect("a chain");
    assert_eq!(whole.chain.len(), 12);
    let registry = Registry::new().task(print).build().expect("a registry");
    let consumer = world.client.consumer(registry).spawn();
    let steps = (0..500)
        .map(|page| Step::new(Print { page: page + 100 }))
        .collect();
    let launch = world.client.producer().launch_steps("print.Book", steps);
    let run = launch.await.expect("a launch");
    run.wait().await.expect("an end");
    consumer.stop().await.expect("a stop");
    for around in [0, 1, 149, 150, 151, 250, 449, 450, 499, 500, u32::MAX] {
        let chain = world.ops.chain(run.id(), Some(around), false).await;
        let steps = chain.expect("a chain").chain;
        let asked = around.clamp(1, 500);
        assert!(steps.iter().any(|step| step.position == asked), "{around}");
        assert!(steps.len() >= 50, "{around}: {}", steps.len());
        for pair in steps.windows(2) {
            assert_eq!(pair[0].position + 1, pair[1].position);
            assert_eq!(pair[1].attempts[0].ready, pair[0].attempts[0].attempt.ended);
        }
        for step in steps {
            let [attempt] = &step.attempts[..] else {
                panic!("{around}: one attempt at step {}", step.position);
            };
            assert_eq!(attempt.attempt.text, format!("page {}", step.position + 99));
        }
    }
}
