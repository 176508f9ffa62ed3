//! What is said when a test cannot be made or cannot go on, as `cargo test` shows it: each of the tests that say it is run
//! in a process of its own.

use std::process::{Command, Output};

use kser::{Entrypoint, Step};
use kser_testkit::{Sim, World};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Work {}

impl Entrypoint for Work {
    const PATH: &'static str = "shop.Work";
}

fn job(world: &mut World) {
    world.consumers(1).task(|_: Work| async {});
    world.launch_steps("shop.Job", vec![Step::new(Work {})]);
}

/// Runs one of the tests that are ignored here, with what is set in its environment.
fn run(test: &str, environment: &[(&str, &str)]) -> (Output, String) {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--ignored", "--exact", &format!("said::{test}")]);
    process.envs(environment.iter().copied());
    let ended = process.output().unwrap();
    let said = [&*ended.stdout, &*ended.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (ended, said)
}

/// Says that a test fails, and with what words.
#[track_caller]
fn fails(test: &str, environment: &[(&str, &str)], words: &[&str]) {
    let (ended, said) = run(test, environment);
    assert!(!ended.status.success(), "{said}");
    for words in words {
        assert!(said.contains(words), "it does not say {words:?}:\n{said}");
    }
}

#[test]
#[ignore = "it fails, as the test below wants"]
fn no_consumers() {
    Sim::new(|world| world.send(Work {})).check(|_| {});
}

#[test]
#[ignore = "it fails, as the test below wants"]
fn nothing_asked_for() {
    Sim::new(|world| {
        world.consumers(1).task(|_: Work| async {});
    })
    .check(|_| {});
}

#[test]
#[ignore = "it fails, as the test below wants"]
fn two_handlers() {
    let twice = |world: &mut World| {
        let consumers = world.consumers(1).task(|_: Work| async {});
        consumers.task(|_: Work| async {});
    };
    Sim::new(twice).check(|_| {});
}

#[test]
#[ignore = "it fails, as the test below wants"]
fn no_fixture() {
    let fixture: Option<u32> = None;
    Sim::new(move |_| fixture.expect("my fixture is missing")).check(|_| {});
}

#[test]
fn a_scenario_that_cannot_be_made_says_why_and_where() {
    for (test, words) in [
        ("no_consumers", "the scenario has no consumers"),
        ("nothing_asked_for", "the scenario asks for nothing"),
        ("two_handlers", "entrypoint shop.Work is registered twice"),
        ("no_fixture", "my fixture is missing"),
    ] {
        fails(test, &[], &["panicked at", ".rs:", words]);
    }
}

#[test]
#[ignore = "the test below runs it"]
fn a_job() {
    Sim::new(job).random(3).check(|_| {});
}

#[test]
fn nonsense_in_the_environment_is_refused() {
    for name in ["PATIENCE", "RUNS", "SEED", "REPLAY"] {
        let name = format!("KSER_TESTKIT_{name}");
        fails("a_job", &[(&name, "soon")], &[&name, "\"soon\""]);
    }
    let (ended, said) = run("a_job", &[("KSER_TESTKIT_SEED", "random")]);
    assert!(ended.status.success(), "{said}");
}
