//! The same seed is the same run: in another process, and in another build.

use std::process::Command;

use kser_testkit::{Faults, Setup, Sim};

use crate::shop::{Checkout, handlers};

/// The hash over the traces of runs of all rows.
fn hash() -> String {
    let setups = [
        Setup::stored(),
        Setup::exactly_once(),
        Setup::at_least_once(),
    ];
    let hashes = setups.map(|setup| {
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
    });
    hashes.join(" ")
}

/// Says the hash, for the test below, and to compare builds.
#[test]
#[ignore = "it says a number: the test below compares it"]
fn hash_of_a_seed() {
    println!("hash: {}", hash());
}

#[test]
fn two_processes_make_the_same_runs() {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args([
        "--ignored",
        "--exact",
        "--nocapture",
        "sameness::hash_of_a_seed",
    ]);
    let said = process.output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains(&format!("hash: {}", hash())), "{said}");
}
