//! Random histories of random operations.

use proptest::prelude::*;

use crate::act::{Act, How};
use crate::world::World;

fn act() -> impl Strategy<Value = Act> {
    let how = prop_oneof![3 => Just(How::Success), 2 => Just(How::Again), 1 => Just(How::Failure)];
    prop_oneof![
        6 => (any::<usize>(), any::<bool>()).prop_map(|(record, duplicate)| Act::Deliver { record, duplicate }),
        6 => (any::<usize>(), how, any::<bool>())
            .prop_map(|(attempt, how, crash)| Act::End { attempt, how, crash }),
        1 => any::<usize>().prop_map(|attempt| Act::Die { attempt }),
        1 => any::<usize>().prop_map(|attempt| Act::GiveBack { attempt }),
        2 => any::<bool>().prop_map(|crash| Act::Sweep { crash }),
        1 => any::<usize>().prop_map(|record| Act::GiveUp { record }),
        1 => any::<usize>().prop_map(|attempt| Act::Renew { attempt }),
        1 => Just(Act::Launch),
        1 => Just(Act::Cancel),
        1 => Just(Act::Resume),
        1 => Just(Act::Retry),
        1 => Just(Act::Skip),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// StepOrder, NoSkip, StopOnFailure, ResultForwarded, OneTerminal, DuplicateIsNoop, no two live leases: the world
    /// checks them after every act. And whatever happened, the run can be brought to its end.
    #[test]
    fn any_history_keeps_the_rules_and_can_be_healed(
        external in prop::collection::vec(prop::bool::weighted(0.3), 1..6),
        acts in prop::collection::vec(act(), 0..60),
    ) {
        let mut world = World::new(&external);
        for act in acts {
            world.act(act);
        }
        world.heal();
    }

    /// Without repairs and crashes, duplicates and reorderings change nothing: each step ends once.
    #[test]
    fn duplicates_change_nothing(
        external in prop::collection::vec(prop::bool::weighted(0.3), 1..6),
        deliveries in prop::collection::vec((any::<usize>(), any::<bool>()), 0..60),
    ) {
        let mut world = World::new(&external);
        for (record, duplicate) in deliveries {
            world.act(Act::Deliver { record, duplicate });
            if duplicate && record % 3 == 0 {
                world.act(Act::End { attempt: 0, how: How::Success, crash: record % 2 == 0 });
            }
        }
        world.heal();
        prop_assert_eq!(world.letters, 0);
    }
}
