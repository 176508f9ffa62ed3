//! An incident at night, repaired by the page alone, in a browser: three consumers, one bug, five hundred failed runs on Kafka and
//! PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

#[path = "../../kser-cli/tests/incident/night.rs"]
mod night;

use std::time::Duration;

use browser_tests::{Tab, browser};
use kser_ops::Ops;
use kser_web::{Access, Gate, WebOptions};
use libtest_mimic::{Arguments, Trial};
use tokio::net::TcpListener;

use self::night::{Night, RUNS};

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
    let night = Night::begin("drill").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let root = format!("http://{}", listener.local_addr().unwrap());
    let gate = Gate::program(|_| Access::Act("oncall".to_owned()));
    let pages = kser_web::router(
        Ops::new(night.connect().await),
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
    night.mend_the_bug();
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

    server.abort();
    night.end().await;
}
