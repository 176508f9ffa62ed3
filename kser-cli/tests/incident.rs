//! An incident at night, repaired by the program alone: three consumers, one bug, five hundred failed runs.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::future::IntoFuture;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kser::run::{RunFilter, Status};
use kser::{Client, Entrypoint, Registry, Step, TaskError};
use libtest_mimic::{Arguments, Trial};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinSet;

const RUNS: u64 = 500;

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("billing.Check")]
struct Check {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("billing.Charge")]
struct Charge {
    order: u64,
}

async fn check(_: Check) -> String {
    "checked".to_owned()
}

async fn charge(has_bug: Arc<AtomicBool>, charge: Charge) -> Result<(), TaskError> {
    let refused = || TaskError::permanent("Refused", format!("order {} is refused", charge.order));
    match has_bug.load(Ordering::Relaxed) {
        true => Err(refused()),
        false => Ok(()),
    }
}

/// The backends of the incident.
struct Place {
    kafka: String,
    store: String,
}

impl Place {
    async fn connect(&self) -> Client {
        let connected = kser::connect_with_store(&self.kafka, &self.store).await;
        connected.expect("a connection")
    }

    /// Runs the program, and returns its exit code and its answer.
    fn kser(&self, line: &str) -> (Option<i32>, Value) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kser"));
        command.args(line.split(' ')).arg("--json");
        command.args(["--kafka", &self.kafka, "--store", &self.store]);
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        let answer = serde_json::from_slice(&output.stdout);
        let answer = answer.unwrap_or_else(|_| panic!("kser {line}: {error}"));
        (output.status.code(), answer)
    }
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
    let prefix = format!("incident{}.", std::process::id());
    let place = Place {
        kafka: format!("kafka://{}?prefix={prefix}", test_services::kafka()),
        store: test_services::postgres().url(),
    };
    let has_bug = Arc::new(AtomicBool::new(true));
    let (mut consumers, producer) = (Vec::new(), place.connect().await);
    for number in 0..3 {
        let registry = Registry::new()
            .task(check)
            .task_with(Arc::clone(&has_bug), charge);
        let registry = registry.build().unwrap();
        let client = place.connect().await;
        client.ensure_topics(&registry, Some(3)).await.unwrap();
        let consumer = client
            .consumer(registry)
            .with_instance(format!("billing-{number}"));
        consumers.push((consumer.spawn(), client));
    }
    let mut launches = JoinSet::new();
    for order in 0..RUNS {
        let steps = vec![Step::new(Check {}), Step::new(Charge { order })];
        let launch = producer.producer().launch_steps("billing.Invoice", steps);
        launches.spawn(launch.with_id(format!("order-{order}")).into_future());
    }
    launches
        .join_all()
        .await
        .into_iter()
        .for_each(|run| drop(run.unwrap()));
    let runs = producer.runs();
    let failed = RunFilter::default().with_status(Status::Failed);
    while runs.count(&failed, RUNS).await.unwrap() < RUNS {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Of the last runs the dead letters are on their way.
    let causes = loop {
        let (code, causes) = place.kser("letters causes billing");
        assert_eq!(code, Some(0));
        if causes["letters"] == RUNS {
            break causes;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };

    // At night: one cause, in the letters and in the runs.
    let (_, status) = place.kser("status");
    let kinds = status["needs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|need| need["kind"].clone());
    assert_eq!(kinds.collect::<Vec<_>>(), ["letters", "runs_failed"]);
    let causes = causes["causes"].as_array().unwrap().clone();
    assert_eq!((causes.len(), &causes[0]["runs"]), (1, &RUNS.into()));
    let cause = causes[0]["cause"].as_str().unwrap();
    let (_, of_runs) = place.kser("runs causes");
    assert_eq!(
        of_runs["causes"][0]["cause"], cause,
        "letters and runs have one cause"
    );
    assert_eq!(of_runs["causes"][0]["runs"], RUNS);

    // A canary while the bug is there stops the act.
    let replay = format!("letters replay --topic billing --cause {cause} --yes {RUNS}");
    let (code, stopped) = place.kser(&format!("{replay} --canary 1"));
    assert_eq!(
        (code, &stopped["report"]["done"]),
        (Some(6), &1.into()),
        "{stopped}"
    );

    // The bug is mended, and everything is replayed. Letters that were replayed once may be so again.
    has_bug.store(false, Ordering::Relaxed);
    let (code, replayed) = place.kser(&format!("{replay} --canary 1 --stop-after 3"));
    let report = &replayed["report"];
    assert_eq!((code, &report["done"]), (Some(0), &RUNS.into()), "{report}");
    assert_eq!(
        (&report["succeeded"], &report["failed_again"]),
        (&RUNS.into(), &0.into())
    );
    let (_, letters) = place.kser("letters ls billing");
    assert_eq!(letters, serde_json::json!([]));
    let (_, after) = place.kser("status");
    assert_eq!(after["needs"], serde_json::json!([]), "{after}");

    // Each step was accepted once.
    for order in 0..RUNS {
        let attempts = runs
            .all_attempts(&format!("order-{order}").into())
            .await
            .unwrap();
        let accepted = attempts
            .iter()
            .filter(|attempt| attempt.status == Status::Success);
        let accepted: Vec<_> = accepted.map(|attempt| attempt.position).collect();
        assert_eq!(accepted, [1, 2], "order {order}: {attempts:?}");
    }
    for (consumer, _client) in consumers {
        consumer.stop().await.unwrap();
    }
}
