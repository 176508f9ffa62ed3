//! Broken consumers, transports and stores: the simulation catches each by the name of the invariant that it violates.
//!
//! | invariant | where it is looked at (`src/`) | the part that breaks it |
//! |---|---|---|
//! | StepOrder | `invariants/attempts.rs`, when a handler begins | a transport that sends a step too early |
//! | NoSkip | `invariants/rows.rs`, when the store is written | a store that skips a step |
//! | StopOnFailure | `invariants/attempts.rs` | a transport that goes on after the end |
//! | ResultForwarded | `invariants/attempts.rs` | a transport that forwards another result |
//! | EffectOnce | `invariants/effects.rs`, at the end | a handler that forgets its key, makes one of the attempt, or gives that of another task |
//! | EffectDone | `effects.rs`, as the test asserts it | a handler that does nothing |
//! | OneTerminal | `invariants/rows.rs`, `records.rs` | a store that ends a run twice, a transport that says another end |
//! | StatusMonotonic | `invariants/rows.rs`, `records.rs` | a store that goes back |
//! | AcceptedOnce | `invariants/rows.rs`, `records.rs` | a transport that publishes twice |
//! | Terminal | `invariants/ends.rs`, at the end | a handler that never returns, which is a deadlock too: the sweeps of a consumer always have a timer, so there is no run in which nothing can happen |
//! | Conservation | `invariants/conservation.rs`, at every step | a broker that redelivers nothing |
//! | NothingLost | `invariants/ends.rs` | a transport that loses what it was given, a store that loses outputs |
//! | RelayedIsPublished | `invariants/records.rs`, when the store is told | a transport that loses outputs |
//! | OutputsAccepted | `invariants/records.rs`, when a settle publishes | a store that says that it has written |
//! | EndAnnounced | `invariants/ends.rs` | a store that keeps no events |
//! | RecordsNeeded | `invariants/copies.rs`, at the end | a transport that publishes twice, a store that sweeps runs whose records wait |
//! | HealthyInTime | `invariants/healthy.rs`, at every step | a member that takes one record at a time |
//! | NoSilentFailure | `invariants/ends.rs`, after the check | a handler that fails and is not asked about |
//! | NoPhantom | `invariants/attempts.rs` | a transport that invents messages |
//! | CommitAfterDurable | `invariants/records.rs`, at every commit | transports that commit first, lose outputs, lose a delayed message |
//! | CommitPrefix | `invariants/commits.rs`, at every commit | a broker that commits past what is not done |
//! | CommitMonotonic | `invariants/commits.rs` | a broker whose commits go back |
//! | Exclusive | `invariants/rows.rs` | a store that keeps no lease, and one whose time runs ahead |
//! | Fenced | `sim/state/records.rs`, at every commit | a broker that does not fence |
//! | KeyOrder | `invariants/attempts.rs` | a transport that reorders a key |
//! | UnknownIsUnknown | `explore/usual.rs`, against the run in which nothing goes wrong | a store that gives up when it cannot know |
//! | Redelivery | `invariants/ends.rs` | a transport that never commits |
//! | RetryBudget | `invariants/attempts.rs` | transports that forget how often it was tried, and to wait |
//! | DeadLetterOnce | `invariants/records.rs` | transports that write dead letters twice, and change them |
//! | DuplicateIsNoop, OrderIsNoop | `explore/usual.rs` | handlers whose outcome counts deliveries, and says who was first |
//! | Envelope | `invariants/records.rs` | a transport that changes metadata |
//! | Backpressure | `invariants/limits.rs`, at every delivery and handler | a layer that goes on in the background, a transport that gives too much |
//! | Shutdown | `sim/state/process_end.rs`, when a consumer has stopped | a member that leaves silently |
//! | NoPanic | `invariants/ends.rs` | a transport that panics |
//! | NoLivelock | `invariants/ends.rs` | a client that asks and asks |
//! | NoLeak | `invariants/ends.rs` | a handler whose work outlives it |
//! | Deterministic | `explore/usual.rs` | a handler that decides by chance, and one that reads the real time |
//! | NotVacuous | `invariants/mod.rs` | a plan that a run does not come to |
//! | NothingRan, NoRealWorld | `explore/search.rs`, `invariants/attempts.rs` | a scenario that runs nothing, a handler that opens a socket: `tests/sim/mistakes.rs` |
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod handlers;
mod member;
mod store;
mod stores;
mod transport;
mod transports;
mod workflow;

/// Each invariant that the README names is broken here or in the mistakes of a scenario.
#[test]
fn each_invariant_of_the_readme_is_broken_by_a_test() {
    let readme = include_str!("../../README.md");
    let (_, table) = readme.split_once("### What holds in every run").unwrap();
    let (table, _) = table.split_once("This crate's own tests").unwrap();
    let broken = [
        include_str!("handlers.rs"),
        include_str!("stores.rs"),
        include_str!("transports.rs"),
        include_str!("../sim/mistakes.rs"),
    ]
    .concat();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let names = rows.filter_map(|row| row.split('|').nth(1));
    let names: Vec<&str> = names
        .flat_map(|names| names.split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(
            broken.contains(&format!("\"{name}\"")),
            "no test breaks {name}"
        );
    }
}
