//! What is said when a test cannot be made or cannot go on, as `cargo test` shows it: each of the tests that say it is run
//! in a process of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kser::{Entrypoint, Step};
use kser_testkit::faults::Fault;
use kser_testkit::{Faults, Sim, World};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Work")]
struct Work {}

fn job(world: &mut World) {
    world.consumers(1).task(|_: Work| async {});
    world.launch_steps("shop.Job", vec![Step::new(Work {})]);
}

/// Runs a test that is ignored, one of those here unless its module is named, with what is set in its environment.
pub(crate) fn run(test: &str, environment: &[(&str, &str)]) -> (Output, String) {
    let path = match test.contains("::") {
        true => test.to_owned(),
        false => format!("error_reports::{test}"),
    };
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--ignored", "--exact", &path]);
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
    let fixture = |_: &mut World| std::env::var("NO_SUCH_FIXTURE").expect("my fixture is missing");
    Sim::new(fixture).check(|_| {});
}

#[test]
fn a_scenario_that_cannot_be_made_says_why_and_where() {
    for (test, words) in [
        ("no_consumers", "the scenario has no consumers"),
        ("nothing_asked_for", "the scenario asks for nothing"),
        ("two_handlers", "registered more than once: shop.Work"),
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

#[test]
#[ignore = "it fails, as the tests below want"]
fn a_job_that_takes_an_hour() {
    let sim = Sim::new(job).faults(Faults::single([Fault::OutageFails]));
    sim.check(|run| assert!(run.virtual_elapsed() < Duration::from_secs(1)));
}

#[test]
#[ignore = "it fails, as the tests below want"]
fn a_job_that_is_never_right() {
    Sim::new(job).check(|_| panic!("it is never right"));
}

/// A package of its own, with runs of one of the tests above that are written down.
fn package(name: &str, test: &str, kept: &str) -> (PathBuf, PathBuf) {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let folder = root.join("tests").join("kser-regressions");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("sim-error_reports-{test}.txt"));
    fs::write(&file, kept).unwrap();
    (root, file)
}

#[test]
fn a_run_that_is_written_down_and_cannot_be_made_is_told_with_its_line() {
    for (name, line, words) in [
        (
            "another-version",
            "v9 | | 1",
            "cannot be read, mend it or delete the line: the run was written down as \"v9\"",
        ),
        (
            "garbage",
            "once upon a time",
            "cannot be read, mend it or delete the line: \"once upon a time\" is not a run",
        ),
        (
            "no-such-site",
            "v1 | crash after Old#1/receive/1 | ",
            "Then delete the line",
        ),
    ] {
        let (root, _) = package(name, "a_job", &format!("# A comment\n{line}\n"));
        let root = [("CARGO_MANIFEST_DIR", root.to_str().unwrap())];
        fails(
            "a_job",
            &root,
            &[
                "tests/kser-regressions/sim-error_reports-a_job.txt:2",
                words,
            ],
        );
    }
}

#[test]
fn what_else_is_written_down_stays_as_it_is() {
    let test = "a_job_that_takes_an_hour";
    let other = "# Ours\n\nv1 |  duplicate Job#1/1.Work/receive/1  | 0\n";
    let (root, file) = package("stays", test, other);
    let root = [("CARGO_MANIFEST_DIR", root.to_str().unwrap())];
    for _ in 0..2 {
        fails(
            test,
            &root,
            &["kept in tests/kser-regressions/sim-error_reports-a_job"],
        );
        let kept = fs::read_to_string(&file).unwrap();
        let added = kept.strip_prefix(other).unwrap();
        assert_eq!(added.lines().count(), 1, "{kept}");
        assert!(added.starts_with("v1 | outage that fails from "), "{kept}");
    }
}

#[test]
fn a_run_in_which_nothing_goes_wrong_is_not_written_down() {
    let test = "a_job_that_is_never_right";
    let (root, file) = package("never", test, "");
    let root = [("CARGO_MANIFEST_DIR", root.to_str().unwrap())];
    fails(
        test,
        &root,
        &["it is never right", "faults: none, in the usual order"],
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
}

#[test]
#[ignore = "it hangs, as the test below wants"]
fn a_handler_that_goes_round_after_a_crash() {
    let crashed = AtomicBool::new(false);
    let crashed = Arc::new(crashed);
    let sim = Sim::new(move |world| {
        let crashed = Arc::clone(&crashed);
        crashed.store(false, Ordering::Relaxed);
        world.consumers(1).task(move |_: Work| {
            let again = crashed.swap(true, Ordering::Relaxed);
            async move {
                let mut turns = 0_u64;
                while again && turns < u64::MAX {
                    tokio::task::yield_now().await;
                    turns += 1;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        world.launch_steps("shop.Job", vec![Step::new(Work {})]);
    });
    sim.faults(Faults::any_single_crash()).check(|_| {});
}

#[test]
fn a_handler_that_goes_round_ends_its_process_with_what_makes_it_again() {
    let test = "a_handler_that_goes_round_after_a_crash";
    let words = [
        "the last that began is \"Job#1/1.Work\"",
        "KSER_TESTKIT_REPLAY='v1 | crash before Job#1/1.Work/await/1 | ' cargo test error_reports::a_handler_that_goes",
        "This ends the whole test binary",
    ];
    fails(test, &[("KSER_TESTKIT_PATIENCE", "1")], &words);
}
