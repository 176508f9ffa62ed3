//! Plans: ids, and what makes a list of steps none.

use kser_core::sequencing::Plan;
use kser_core::{Error, RunId, Step};
use proptest::prelude::*;

fn steps(ids: &[Option<String>]) -> Vec<Step> {
    let step = |id: &Option<String>| {
        let step = Step::named("test.Go", &());
        match id {
            Some(id) => step.with_id(id.as_str()),
            None => step,
        }
    };
    ids.iter().map(step).collect()
}

fn plan(ids: &[Option<String>]) -> Result<Plan, Error> {
    Plan::of("run".into(), "test.Run".into(), steps(ids))
}

proptest! {
    /// Ids that are given may be those that others derive, before them or after.
    #[test]
    fn two_equal_ids_are_an_error_that_names_the_second(
        ids in prop::collection::vec(prop::option::of(0_u32..12), 0..8),
    ) {
        let run = RunId::from("run");
        let given: Vec<_> = ids
            .iter()
            .map(|id| id.map(|id| run.step(id).to_string()))
            .collect();
        let wanted: Vec<_> = (1..)
            .zip(&given)
            .map(|(position, id)| id.clone().unwrap_or_else(|| run.step(position).to_string()))
            .collect();
        let twice = (0..wanted.len()).find(|&at| wanted[..at].contains(&wanted[at]));
        match (plan(&given), twice) {
            (Ok(plan), None) => {
                let ids: Vec<_> = plan.steps().iter().map(|step| step.key.uuid.to_string()).collect();
                prop_assert_eq!(ids, wanted);
                let positions: Vec<_> = plan.steps().iter().map(|step| step.key.position).collect();
                prop_assert!(positions.into_iter().eq(1..=u32::try_from(given.len()).unwrap()));
            }
            (Err(Error::InvalidStep { position, .. }), Some(at)) => {
                prop_assert_eq!(position as usize, at + 1);
            }
            (made, twice) => prop_assert!(false, "{made:?}, {twice:?}"),
        }
    }
}

/// A launch that is delivered twice makes the same ids, and another run others.
#[test]
fn ids_come_from_the_run_and_the_position() {
    let ids = |run: &str| {
        let plan = Plan::of(run.into(), "test.Run".into(), steps(&[None, None])).unwrap();
        plan.into_steps().into_iter().map(|step| step.key.uuid)
    };
    assert!(ids("a").eq(ids("a")));
    assert!(ids("a").zip(ids("b")).all(|(one, other)| one != other));
}

#[test]
fn a_hundred_thousand_steps_are_a_plan() {
    let plan = plan(&vec![None; 100_000]).unwrap();
    assert_eq!(plan.steps().len(), 100_000);
    assert_eq!(plan.steps()[99_999].key.position, 100_000);
}
