//! How many records a run needs, and how many copies of them make.

use proptest::prelude::*;

use kser_core::Status;
use kser_core::sequencing::{Effect, Event, StepWindow, apply};

use crate::act::{Act, How};
use crate::steps::{NOW, at, begun, ended, lease, started, step};
use crate::world::World;

/// Delivers what is on its way in order, and ends what has begun, until nothing is left. `faults` says which deliveries come
/// twice, and which ends are followed by a crash. Returns how many faults there were.
fn run_in_order(world: &mut World, faults: &[bool]) -> usize {
    let mut faults = faults.iter().copied();
    let mut happened = 0;
    while !(world.records.is_empty() && world.in_flight.is_empty()) {
        let fault = faults.next().unwrap_or_default();
        happened += usize::from(fault);
        world.act(match world.in_flight.is_empty() {
            true => Act::Deliver {
                record: 0,
                duplicate: fault,
            },
            false => Act::End {
                attempt: 0,
                how: How::Success,
                crash: fault,
            },
        });
    }
    happened
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A record that comes twice makes one more record at most: the copies of a step make no copies of the next one.
    #[test]
    fn copies_of_a_record_die_out(
        external in prop::collection::vec(prop::bool::weighted(0.2), 1..12),
        faults in prop::collection::vec(prop::bool::weighted(0.2), 0..40),
    ) {
        let mut world = World::new(&external);
        let happened = run_in_order(&mut world, &faults);
        prop_assert_eq!(world.progress.status(), Status::Success);
        let needed = external.len() + 1;
        prop_assert!(
            world.published <= needed + happened,
            "{} records for {needed} steps and {happened} faults", world.published,
        );
    }
}

#[test]
fn a_copy_of_a_record_does_not_ask_for_the_effects_of_its_original() {
    let (first, second) = (step(1), step(2));
    let window = StepWindow {
        current: Some(&first),
        following: Some(&second),
    };
    let end = ended(&first, 1, kser_core::Outcome::default());
    let done = apply(&begun(2, &first), window, end, NOW).unwrap().progress;
    let come = |seen| {
        let event = match started(&first, lease("b", 0), false) {
            Event::Started {
                step, lease, alone, ..
            } => Event::Started {
                step,
                lease,
                alone,
                seen,
            },
            other => other,
        };
        at(&done, &second, event, NOW).unwrap()
    };
    let copy = come(2);
    assert!(copy.effects.is_empty() && !copy.changed, "{copy:?}");
    let original = come(1);
    assert!(matches!(
        original.effects[..],
        [Effect::Publish { position: 2, .. }]
    ));
    // What is published once more has a version of its own: it is no second original.
    assert_eq!(original.progress.version(), done.version() + 1);
}
