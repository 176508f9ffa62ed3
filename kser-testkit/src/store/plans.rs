//! Plans.

use super::{Inhabitant, plan};
use crate::StoreHarness;

/// A step is read by its position.
pub async fn a_step_is_read_by_its_position(harness: &StoreHarness) {
    let run = Inhabitant::with_steps(harness, "steps", 3).await;
    for (position, expected) in [(0, None), (1, Some(1)), (3, Some(3)), (4, None)] {
        let step = run.store.step(&run.id, position).await.unwrap();
        assert_eq!(step.map(|step| step.key.position), expected);
    }
    let nobody = harness.id("nobody");
    assert_eq!(run.store.step(&nobody, 1).await.unwrap(), None);
}

/// A plan comes back as it was written.
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

/// Reading a step costs the same in a plan of any length. That it costs the same is a benchmark's to say; here a long
/// plan is read at both ends.
pub async fn a_long_plan_is_read_step_by_step(harness: &StoreHarness) {
    let run = Inhabitant::with_steps(harness, "long", 10_000).await;
    let steps = plan(&run.id, 10_000);
    for position in [1_u32, 5_000, 10_000] {
        let step = run.store.step(&run.id, position).await.unwrap();
        let index = usize::try_from(position).unwrap() - 1;
        assert_eq!(step.as_ref(), steps.get(index));
    }
}
