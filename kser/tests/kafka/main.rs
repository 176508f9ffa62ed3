//! Programs on real Kafka: kills, faults, and other languages. All tests share a broker, but for those that start their own.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod brokers;
mod clock;
mod common;
mod encryption;
mod frozen;
mod kills;
mod languages;
mod members;
mod presence;
mod rebalance;
mod security;
mod sizes;
mod soak;
mod stored;
mod topics;

use libtest_mimic::{Arguments, Trial};

fn main() {
    // Some tests start this program again, as a consumer in a process of its own.
    if common::process::was_consumer() || clock::was_consumer() {
        return;
    }
    let own = of_kinds([
        ("brokers", brokers::trials()),
        ("frozen", frozen::trials()),
        ("soak", soak::trials()),
    ]);
    let shared = of_kinds([
        ("clock", clock::trials()),
        ("encryption", encryption::trials()),
        ("kills", kills::trials()),
        ("languages", languages::trials()),
        ("members", members::trials()),
        ("presence", presence::trials()),
        ("rebalance", rebalance::trials()),
        ("security", security::trials()),
        ("sizes", sizes::trials()),
        ("stored", stored::trials()),
        ("topics", topics::trials()),
    ]);
    let mut arguments = Arguments::from_args();
    // The tests wait more than they work.
    arguments.test_threads.get_or_insert(4);
    libtest_mimic::run(&arguments, spread(own, shared)).exit();
}

fn of_kinds<const N: usize>(kinds: [(&str, Vec<Trial>); N]) -> Vec<Trial> {
    let named = |(kind, trials): (&str, Vec<Trial>)| {
        let kind = kind.to_owned();
        trials
            .into_iter()
            .map(move |trial| trial.with_kind(kind.as_str()))
    };
    kinds.into_iter().flat_map(named).collect()
}

/// Begins the tests with brokers of their own one after another between the others: brokers that start take all processors.
fn spread(own: Vec<Trial>, shared: Vec<Trial>) -> Vec<Trial> {
    // Later ones would be the last to run.
    let between = shared.len() / (own.len() + 3);
    let (mut own, mut trials) = (own.into_iter(), Vec::new());
    trials.extend(own.next());
    for (n, trial) in shared.into_iter().enumerate() {
        if n % between == 0 {
            trials.extend(own.next());
        }
        trials.push(trial);
    }
    trials.extend(own);
    trials
}
