//! An incident at night, repaired by the program alone: three consumers, one bug, five hundred failed runs.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod night;

use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

use self::night::{Night, RUNS};

/// Runs the program, and returns its exit code and its answer.
fn kser(night: &Night, line: &str) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kser"));
    command.args(line.split(' ')).arg("--json");
    command.args(["--kafka", &night.kafka, "--store", &night.store]);
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let answer = serde_json::from_slice(&output.stdout);
    let answer = answer.unwrap_or_else(|_| panic!("kser {line}: {error}"));
    (output.status.code(), answer)
}

fn main() {
    let has_all = test_services::HAS_KAFKA && test_services::HAS_POSTGRES;
    let test = Trial::test("an_incident_is_repaired_by_the_program_alone", || {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(incident());
        Ok(())
    });
    let trials = vec![test.with_ignored_flag(!has_all)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

async fn incident() {
    let night = Night::begin("incident").await;
    // Of the last runs the dead letters are on their way.
    let causes = loop {
        let (code, causes) = kser(&night, "letters causes billing");
        assert_eq!(code, Some(0));
        if causes["letters"] == RUNS {
            break causes;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };

    // At night: one cause, in the letters and in the runs.
    let (_, status) = kser(&night, "status");
    let kinds = status["needs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|need| need["kind"].clone());
    assert_eq!(kinds.collect::<Vec<_>>(), ["letters", "runs_failed"]);
    let causes = causes["causes"].as_array().unwrap().clone();
    assert_eq!((causes.len(), &causes[0]["runs"]), (1, &RUNS.into()));
    let cause = causes[0]["cause"].as_str().unwrap();
    let (_, of_runs) = kser(&night, "runs causes");
    assert_eq!(
        of_runs["causes"][0]["cause"], cause,
        "letters and runs have one cause"
    );
    assert_eq!(of_runs["causes"][0]["runs"], RUNS);

    // A canary while the bug is there stops the act.
    let replay = format!("letters replay --topic billing --cause {cause} --yes {RUNS}");
    let (code, stopped) = kser(&night, &format!("{replay} --canary 1"));
    assert_eq!(
        (code, &stopped["report"]["done"]),
        (Some(6), &1.into()),
        "{stopped}"
    );

    // The bug is mended, and everything is replayed. Letters that were replayed once may be so again.
    night.mend_the_bug();
    let (code, replayed) = kser(&night, &format!("{replay} --canary 1 --stop-after 3"));
    let report = &replayed["report"];
    assert_eq!((code, &report["done"]), (Some(0), &RUNS.into()), "{report}");
    assert_eq!(
        (&report["succeeded"], &report["failed_again"]),
        (&RUNS.into(), &0.into())
    );
    let (_, letters) = kser(&night, "letters ls billing");
    assert_eq!(letters, serde_json::json!([]));
    let (_, after) = kser(&night, "status");
    assert_eq!(after["needs"], serde_json::json!([]), "{after}");

    night.end().await;
}
