//! Clients that encrypt: each record that leaves one is an envelope, under every fault.

use kser_testkit::{Faults, Setup, Sim};

use crate::shop::{Pickup, handlers};
use crate::{all_features, sweeps_are_long};

#[test]
fn encrypted_all_of_it_works() {
    let setups = [
        Setup::stored(),
        Setup::exactly_once(),
        Setup::at_least_once(),
    ];
    for setup in setups {
        let sim = all_features::mill().on(setup.encrypted());
        sim.check(all_features::is_done);
    }
}

#[test]
fn encrypted_any_single_fault_is_survived() {
    for setup in [Setup::stored(), Setup::at_least_once()] {
        let shop = Sim::new(|world| {
            let shop = world.effects("shop");
            handlers(world.consumers(2), &shop, true);
            (world.launch(Pickup { order: 42 }), shop)
        });
        let faults = match sweeps_are_long() {
            true => Faults::any_single(),
            false => Faults::any_single().at_first(1),
        };
        let report = shop.on(setup.encrypted()).faults(faults).check(|run| {
            let (pickup, shop) = run.state;
            run.assert_succeeded(pickup);
            shop.assert_exactly_once(["reserve", "ship"]);
        });
        assert!(report.runs > 50, "{report:?}");
    }
}
