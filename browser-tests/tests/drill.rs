//! An incident at night, repaired by the page alone, in a browser: three consumers, one bug, five hundred failed runs on Kafka and
//! PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use browser_tests::{Tab, browser};
use kser::run::{RunFilter, Status};
use kser::{Client, Entrypoint, Registry, Step, TaskError};
use kser_ops::Ops;
use kser_web::{Access, Gate, WebOptions};
use libtest_mimic::{Arguments, Trial};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
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
}

fn main() {
    let has_all =
        test_services::HAS_KAFKA && test_services::HAS_POSTGRES && browser_tests::HAS_BROWSER;
    let test = Trial::test("an_incident_is_repaired_by_the_page_alone", || {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(incident());
        Ok(())
    });
    let trials = vec![test.with_ignored_flag(!has_all)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Launches orders, all of which fail.
async fn fail(producer: &Client) {
    let mut launches = JoinSet::new();
    for order in 0..RUNS {
        let steps = vec![Step::new(Check {}), Step::new(Charge { order })];
        let launch = producer.producer().launch_steps("billing.Invoice", steps);
        launches.spawn(launch.with_id(format!("order-{order}")).into_future());
    }
    let launched = launches.join_all().await.into_iter();
    launched.for_each(|run| drop(run.unwrap()));
    let failed = RunFilter::default().with_status(Status::Failed);
    while producer.runs().count(&failed, RUNS).await.unwrap() < RUNS {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Opens a page, and waits for an element of it.
async fn look(tab: &Tab, url: &str, element: &str) {
    tab.open(url).await;
    tab.until_within(
        &format!("document.querySelector('{element}') !== null"),
        Duration::from_secs(60),
    )
    .await;
}

/// Replays all letters of the one cause, after one of them as a canary. Returns the page of the act when it has ended.
async fn replay(tab: &Tab, root: &str, reason: &str) -> String {
    let cause = format!("tr[data-letters=\"{RUNS}\"] [data-act=replay]");
    look(tab, &format!("{root}/letters"), &cause).await;
    tab.leads_on(tab.click(&cause)).await;
    tab.fill("[name=reason]", reason).await;
    tab.fill("[name=expect]", &RUNS.to_string()).await;
    tab.leads_on(tab.click("form.act button")).await;
    let ended = "['ended', 'stopped'].includes(document.getElementById('job')?.dataset.state)";
    tab.until_within(ended, Duration::from_secs(120)).await;
    tab.text().await
}

async fn incident() {
    let prefix = format!("drill{}.", std::process::id());
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
    fail(&producer).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let root = format!("http://{}", listener.local_addr().unwrap());
    let gate = Gate::program(|_| Access::Act("oncall".to_owned()));
    let pages = kser_web::router(
        Ops::new(place.connect().await),
        WebOptions::new(gate).with_acts(),
    );
    let server = tokio::spawn(async move { axum::serve(listener, pages).await });
    let tab = browser().session().await.tab().await;

    // At night: one cause, in the letters and in the runs. Of the last runs the dead letters are on their way.
    look(&tab, &root, "[data-needs=\"2\"]").await;
    look(&tab, &root, "[data-need=letters]").await;
    tab.leads_on(tab.click("[data-need=runs_failed] a")).await;
    // The page reads the runs that were launched last, and says so.
    tab.until("document.querySelectorAll('main tbody tr[data-runs]').length === 1")
        .await;
    look(
        &tab,
        &format!("{root}/letters"),
        &format!("tr[data-letters=\"{RUNS}\"]"),
    )
    .await;
    assert_eq!(
        tab.eval("document.querySelectorAll('main tbody tr').length")
            .await,
        1,
        "one cause"
    );

    // A canary while the bug is there stops the act.
    let stopped = replay(&tab, &root, "try one").await;
    assert!(
        stopped.contains(&format!("1 replayed of {RUNS}, stopped")),
        "{stopped}"
    );

    // The bug is mended, and everything is replayed.
    has_bug.store(false, Ordering::Relaxed);
    let ended = replay(&tab, &root, "the bug is mended").await;
    assert!(
        ended.contains(&format!("{RUNS} replayed of {RUNS}, ended")),
        "{ended}"
    );
    assert_eq!(
        tab.eval("document.getElementById('succeeded').innerText")
            .await,
        RUNS.to_string()
    );
    look(&tab, &root, "[data-needs=\"0\"]").await;
    assert_eq!(tab.violations(), Vec::<String>::new());

    // Each step was accepted once.
    for order in 0..RUNS {
        let id = format!("order-{order}").into();
        let attempts = producer.runs().all_attempts(&id).await.unwrap();
        let accepted = attempts
            .iter()
            .filter(|attempt| attempt.status == Status::Success);
        let accepted: Vec<_> = accepted.map(|attempt| attempt.position).collect();
        assert_eq!(accepted, [1, 2], "order {order}: {attempts:?}");
    }
    server.abort();
    for (consumer, _client) in consumers {
        consumer.stop().await.unwrap();
    }
}
