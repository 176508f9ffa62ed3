//! Any sequence of what members do, against a model: nothing is lost, nothing is with two, keys keep their order.

use std::time::Duration;

use crate::model::{Act, Model};
use proptest::prelude::*;

fn act() -> impl Strategy<Value = Act> {
    let key = proptest::option::of(0..3_u8);
    let delay = proptest::option::weighted(0.3, 1..5_000_u64);
    let publish = (key, delay.clone()).prop_map(|(key, delay)| Act::Publish { key, delay });
    let receive = (0..4_usize, 1..4_usize);
    let settle = (any::<prop::sample::Index>(), any::<bool>());
    prop_oneof![
        6 => publish,
        6 => receive.prop_map(|(member, room)| Act::Receive { member, room }),
        4 => settle.prop_map(|(which, output)| Act::Settle { which, output }),
        2 => (any::<prop::sample::Index>(), delay)
            .prop_map(|(which, delay)| Act::Release { which, delay }),
        1 => (0..4_usize).prop_map(|member| Act::Drop { member }),
        1 => (0..4_usize).prop_map(|member| Act::Close { member }),
        2 => (1..3_000_u64).prop_map(|millis| Act::Pass(Duration::from_millis(millis))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_with_two_or_out_of_order(acts in proptest::collection::vec(act(), 1..80)) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut model = Model::default();
            for act in acts {
                model.act(act).await;
            }
            model.drain().await;
        });
    }
}
