//! Programs on real Kafka: kills, faults, and other languages. All tests share a broker, but for those that start their own.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod brokers;
mod clock;
mod common;
mod kills;
mod languages;
mod members;
mod rebalance;
mod security;
mod sizes;
mod soak;
mod stored;
mod topics;

use libtest_mimic::Arguments;

fn main() {
    // Some tests start this program again, as a consumer in a process of its own.
    if common::process::was_consumer() || clock::was_consumer() {
        return;
    }
    let kinds = [
        ("brokers", brokers::trials()),
        ("clock", clock::trials()),
        ("kills", kills::trials()),
        ("languages", languages::trials()),
        ("members", members::trials()),
        ("rebalance", rebalance::trials()),
        ("security", security::trials()),
        ("sizes", sizes::trials()),
        ("soak", soak::trials()),
        ("stored", stored::trials()),
        ("topics", topics::trials()),
    ];
    let trials = kinds.into_iter().flat_map(|(kind, trials)| {
        let named = move |trial: libtest_mimic::Trial| trial.with_kind(kind);
        trials.into_iter().map(named)
    });
    let mut arguments = Arguments::from_args();
    // The tests wait more than they work.
    arguments.test_threads.get_or_insert(4);
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
