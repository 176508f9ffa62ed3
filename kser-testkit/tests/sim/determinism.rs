//! The same seed is the same run: in another process, and in another build.

use kser_testkit::{Faults, Setup, Sim};

use crate::shop::{Checkout, handlers};

/// What the builds for tests and for release have both said. What a run does, or how it is told, is another number: when
/// that is meant, the new ones belong here.
const HASHES: [&str; 3] = ["5b03e6a783c76201", "63f3f7c0867e160c", "b97a4c402a10b0d7"];

/// The hash over the traces of runs of a row.
fn hash(setup: Setup) -> String {
    let sim = Sim::new(|world| {
        let shop = world.effects("shop");
        handlers(world.consumers(2), &shop, true);
        [1, 2].map(|order| world.launch(Checkout { order }))
    });
    let sim = sim
        .on(setup)
        .faults(Faults::any_single_crash())
        .random(20)
        .seed(7);
    let report = sim.check(|_| {});
    format!("{:016x}", report.trace_hash)
}

/// `.ci/run` runs it in both builds: whatever process makes the runs of a seed, they are these.
#[test]
fn every_process_and_every_build_makes_the_same_runs() {
    let setups = [
        Setup::stored(),
        Setup::exactly_once(),
        Setup::at_least_once(),
    ];
    assert_eq!(setups.map(hash), HASHES);
}
