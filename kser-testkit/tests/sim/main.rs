//! The simulation, as its users see it.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod all_features;
mod busy_consumers;
mod by_hand;
mod checkout;
mod clients;
mod crashes;
mod determinism;
mod encrypted;
mod error_reports;
mod faults;
mod hand_ins;
mod lone_tasks;
mod long_waits;
mod mistakes;
mod picture;
mod readme;
mod regressions;
mod shop;

/// Says whether the long sweeps are wanted, which take three times as long.
fn sweeps_are_long() -> bool {
    std::env::var_os("KSER_LONG_SWEEPS").is_some()
}

/// Returns every fault, at the first two of equal events, or at each of them in a long sweep: for scenarios in which busy consumers
/// give one record back again and again.
fn any_single_at_first() -> kser_testkit::Faults {
    match sweeps_are_long() {
        true => kser_testkit::Faults::any_single(),
        false => kser_testkit::Faults::any_single().at_first(2),
    }
}
