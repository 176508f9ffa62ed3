//! Operations of which a Python consumer runs a step.

use std::time::Duration;

use kser::run::RunState;
use kser::{Client, Error, Status, Step};
use libtest_mimic::Trial;
use tokio::sync::mpsc;

use super::process::Process;
use super::values::{ODD_NUMBERS, object, values};
use super::{Place, with_python};
use crate::common::trials;

const LIMIT: Duration = Duration::from_secs(60);

/// Written so by Python, too, where one may write it in several ways.
const VALUES: &str = r#"{"text": "Zo\u00eb \ud83c\udfb2 \u0000/", "big": 123456789012345678901234567890, "list": [1.5, -0.0, 1e-07, null, true]}"#;

pub(super) fn trials() -> Vec<Trial> {
    trials![
        with_python:
        values_pass_through_python_carried,
        values_pass_through_python_stored,
        a_step_that_fails_in_python_fails_the_run_carried,
        a_step_that_fails_in_python_fails_the_run_stored,
        a_step_is_run_again_when_its_python_consumer_is_killed,
        the_example_approves_orders,
    ]
}

async fn values_pass_through(place: &str, stored: bool) -> Result<(), Error> {
    let place = Place::new(place);
    let kser = place.connect(stored).await;
    place.make_topic("python");
    let (told, mut given) = mpsc::unbounded_channel();
    let consumer = kser.consumer(values(&told)?).spawn();
    let mut python = place.consumer("python", "external");

    let steps = vec![
        Step::named("values.First", &object(VALUES)),
        Step::named("python.Echo", &object(VALUES)).external(LIMIT),
        Step::named("values.Third", &object(ODD_NUMBERS)),
    ];
    let launch = kser.producer().launch_steps("values.All", steps);
    let run = launch.with_metadata("tenant", "Zoë").await?;
    let in_python = format!(r#"{{"params": {VALUES}, "retval": {VALUES}}}"#);
    assert_eq!(python.line("params").await, in_python);
    let (params, previous) = given.recv().await.unwrap();
    assert_eq!(params, ODD_NUMBERS);
    assert_eq!(previous.message(), "café 🎲");
    let retval = previous.data().fields();
    assert_eq!(retval.get("python").unwrap().as_str(), VALUES);
    let big = retval.get("big").unwrap();
    assert_eq!(big.as_str(), "123456789012345678901234567890");
    let state = run.wait_timeout(LIMIT).await?;
    assert_eq!(
        (state.status, state.outcome.message()),
        (Status::Success, "third")
    );
    consumer.stop().await
}

/// Runs an operation whose only step is a task of `consumer.py`.
async fn step(kser: &Client, entrypoint: &str) -> Result<RunState, Error> {
    let step = Step::named(entrypoint, &serde_json::json!({})).external(LIMIT);
    let launch = kser.producer().launch_steps("values.Failing", vec![step]);
    launch.await?.wait_timeout(LIMIT).await
}

/// All the ways to fail, and what is told of each: retcode, and text.
const FAILURES: [(&str, i64, &str); 10] = [
    ("python.Raises", 500, "naïve"),
    ("python.Misses", 404, "no such order"),
    ("python.Says404", 404, "not here"),
    ("python.Forgets", 400, "Missing parameter: order"),
    (
        "python.Unknown",
        400,
        "Entrypoint 'python.Unknown' not registred",
    ),
    (
        "python.LeavesASet",
        500,
        "Object of type set is not JSON serializable",
    ),
    (
        "python.LeavesNaN",
        500,
        "Out of range float values are not JSON compliant",
    ),
    ("python.LeavesNull", 400, "Invalid field(s) value: stdout"),
    (
        "python.LeavesMuch",
        400,
        "The result has 2000114 bytes, and 262144 are the most",
    ),
    ("python.Answers", 400, "The task returned no result"),
];

async fn failures_are_told(place: &str, stored: bool) -> Result<(), Error> {
    let place = Place::new(place);
    let kser = place.connect(stored).await;
    place.make_topic("python");
    let (told, _given) = mpsc::unbounded_channel();
    let consumer = kser.consumer(values(&told)?).spawn();
    let _python = place.consumer("python", "external");
    for (entrypoint, retcode, text) in FAILURES {
        let state = step(&kser, entrypoint).await?;
        assert_eq!(state.status, Status::Failed, "{entrypoint}");
        assert_eq!(state.outcome.code(), retcode, "{entrypoint}");
        let told = state.outcome.error_message();
        assert!(told.starts_with(text), "{entrypoint}: {told}");
    }
    consumer.stop().await
}

async fn values_pass_through_python_carried() -> Result<(), Error> {
    values_pass_through("carried-python", false).await
}

async fn values_pass_through_python_stored() -> Result<(), Error> {
    values_pass_through("stored-python", true).await
}

async fn a_step_that_fails_in_python_fails_the_run_carried() -> Result<(), Error> {
    failures_are_told("carried-failures", false).await
}

async fn a_step_that_fails_in_python_fails_the_run_stored() -> Result<(), Error> {
    failures_are_told("stored-failures", true).await
}

/// The package's consumer commits on its own, and loses what a process that is killed was at. With the mixin it does not.
async fn a_step_is_run_again_when_its_python_consumer_is_killed() -> Result<(), Error> {
    let place = Place::new("killed-python");
    let kser = place.connect(false).await;
    place.make_topic("python");
    let (told, _given) = mpsc::unbounded_channel();
    let consumer = kser.consumer(values(&told)?).spawn();
    let begun = format!("{}/{}begun", env!("CARGO_TARGET_TMPDIR"), place.prefix);
    let _ = std::fs::remove_file(&begun);
    let slow = Step::named("python.Slow", &serde_json::json!({ "begun": &begun }));
    let steps = vec![slow.external(LIMIT), Step::named("values.Third", &())];
    let run = kser.producer().launch_steps("values.Slow", steps).await?;

    let mut python = place.consumer("python", "patient");
    python.line("begun").await;
    python.kill().await;
    let mut python = place.consumer("python", "patient");
    python.line("the second time").await;
    assert_eq!(run.wait_timeout(LIMIT).await?.status, Status::Success);
    std::fs::remove_file(&begun).unwrap();
    consumer.stop().await
}

async fn the_example_approves_orders() -> Result<(), Error> {
    let place = Place::new("approve-python");
    let kser = place.connect(false).await;
    let (told, mut given) = mpsc::unbounded_channel();
    let consumer = kser.consumer(values(&told)?).spawn();
    let topic = place.topic("office");
    let script = "../examples/python/consumer.py";
    // Unlike the package's own, it may come before its topic.
    let mut python = Process::python(script, &[test_services::kafka(), &topic]);
    python.line("Starting").await;
    let approve = Step::named("office.Approve", &serde_json::json!({"order": 42}));
    let steps = vec![approve.external(LIMIT), Step::named("values.Third", &())];
    let run = kser.producer().launch_steps("values.Order", steps).await?;
    python.line("Office.Success: office.Approve").await;
    assert_eq!(run.wait_timeout(LIMIT).await?.status, Status::Success);
    let (_, previous) = given.recv().await.unwrap();
    assert_eq!(previous.message(), "order 42 is approved");
    consumer.stop().await
}
