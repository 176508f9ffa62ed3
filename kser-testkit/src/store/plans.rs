//! Plans.

use crate::rules::store_sentences::sentence;
use std::time::Duration;

use kser_core::sequencing::Revision;
use kser_core::store::{Found, Inserted, Standing, Swapped, Write};

use super::{Inhabitant, new_run, plan};
use crate::StoreHarness;

#[doc = sentence!(a_step_is_read_by_its_position)]
pub async fn a_step_is_read_by_its_position(harness: &StoreHarness) {
    let run = Inhabitant::with_steps(harness, "steps", 3).await;
    for (position, expected) in [(0, None), (1, Some(1)), (3, Some(3)), (4, None)] {
        let step = run.store.step(&run.id, position).await.unwrap();
        assert_eq!(step.map(|step| step.key.position), expected);
    }
    let nobody = harness.id("nobody");
    assert_eq!(run.store.step(&nobody, 1).await.unwrap(), None);
}

#[doc = sentence!(a_plan_comes_back_as_it_was_written)]
pub async fn a_plan_comes_back_as_it_was_written(harness: &StoreHarness) {
    let run = Inhabitant::with_steps(harness, "plan", 4).await;
    for expected in plan(&run.id, 4) {
        let step = run
            .store
            .step(&run.id, expected.key.position)
            .await
            .unwrap();
        assert_eq!(step, Some(expected));
    }
}

#[doc = sentence!(a_step_of_a_long_plan_costs_the_same)]
///
/// This is a coarse check, which tells a lookup from a search: 10,000 steps may cost 20 times as much as 10.
pub async fn a_step_of_a_long_plan_costs_the_same(harness: &StoreHarness) {
    let short = Inhabitant::with_steps(harness, "short", 10).await;
    let long = Inhabitant::with_steps(harness, "long", 10_000).await;
    let step = long.store.step(&long.id, 10_000).await.unwrap();
    assert_eq!(step.as_ref(), plan(&long.id, 10_000).last());
    let (mut of_short, mut of_long) = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        of_short = of_short.min(cost(&short, 10).await);
        of_long = of_long.min(cost(&long, 10_000).await);
    }
    assert!(
        of_long < of_short * 20,
        "20 reads take {of_short:?} of 10 steps, {of_long:?} of 10,000"
    );
}

#[doc = sentence!(the_state_of_a_run_has_the_steps_near_it)]
pub async fn the_state_of_a_run_has_the_steps_near_it(harness: &StoreHarness) {
    for (name, position) in [("first", 1), ("middle", 2), ("last", 3), ("end", 4)] {
        let run = Inhabitant::at_step(harness, name, 3, position).await;
        let steps = plan(&run.id, 3);
        let step = |position: usize| steps.get(position - 1).cloned();
        let at = usize::try_from(position).unwrap();
        let standing = Standing::new(run.progress.clone(), step(at), step(at + 1));
        let standing = Box::new(standing);
        let read = run.store.read(&run.id).await.unwrap().value;
        assert_eq!(read, Found::Stands(standing.clone()));
        let wrong = Revision {
            version: run.progress.version() + 1,
            ..run.progress.revision()
        };
        let write = Write::new(run.cancelled());
        let swapped = run.store.swap(&run.id, wrong, write).await.unwrap().value;
        assert_eq!(swapped, Swapped::Conflict(Found::Stands(standing.clone())));
        let again = new_run(harness, &run.id, name, run.now());
        let inserted = run.store.insert(again).await.unwrap().value;
        assert_eq!(inserted, Inserted::Same(standing));
    }
}

/// How long some reads of the last step take.
async fn cost(run: &Inhabitant<'_>, last: u32) -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "what a read costs is real time, also in a test on paused time"
    )]
    let start = std::time::Instant::now();
    for _ in 0..20 {
        run.store.step(&run.id, last).await.unwrap();
    }
    start.elapsed()
}
