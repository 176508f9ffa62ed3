//! The times and the sizes of the pages: `cargo bench -p kser-web`. The arguments are the figures that are wanted: `sqlite` and
//! `postgres` (1,000,000 runs that have ended, 250 that have failed, and one of 10,000 steps), `letters` (100,000 dead letters, in memory).
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the bench")]

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use kser::backend::{Record, Transport, headers};
use kser::client::Client;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::Topic;
use kser::{Entrypoint, IntoTask, Registry, RetryPolicy, Step, TaskError};
use kser_ops::Ops;
use kser_web::{Access, Gate, WebOptions};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tower::ServiceExt;

/// The runs that have ended.
const RUNS: u32 = 1_000_000;

/// The runs that have failed.
const FAILED: u32 = 250;

/// The steps of the long run.
const STEPS: u32 = 10_000;

const LETTERS: usize = 100_000;

/// The times that a page is asked for.
const TIMES: usize = 200;

/// The columns of the rows that are made, as both databases have them.
const COLUMNS: &str = "id, name, topic, digest, created, status, position, version, stamp, look_at, progress, steps, updated, noted";

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Charge")]
struct Charge {
    order: u32,
}

async fn charge(charge: Charge) -> Result<String, TaskError> {
    match charge.order {
        order if order < FAILED => Err(TaskError::permanent(
            "Refused",
            format!("order {order} is refused by the bank of its customer"),
        )),
        order => Ok(format!(
            "order {order} is paid with the card of its customer"
        )),
    }
}

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    if is_wanted("sqlite") {
        sqlite().await;
    }
    if is_wanted("postgres") {
        postgres().await;
    }
    if is_wanted("letters") {
        letters().await;
    }
}

async fn sqlite() {
    let folder = std::env::temp_dir().join(format!("kser-pages-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("shop.db");
    let kser = filled(&format!("sqlite://{}", file.display())).await;
    let tables = rusqlite::Connection::open(&file).unwrap();
    let made = tables.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         WITH RECURSIVE made (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM made WHERE n < {RUNS})
         INSERT INTO kser_runs ({COLUMNS})
         SELECT 'done-' || n, 'shop.Old', 'old', 'd', 1700000000000 + n, 'SUCCESS', 2, 8, n, NULL,
             (SELECT progress FROM kser_runs LIMIT 1), 1, 1700000000000 + n, 8
         FROM made;
         COMMIT"
    ));
    made.unwrap();
    runs("sqlite", kser).await;
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn postgres() {
    let server = test_services::postgres();
    let kser = filled(&server.url()).await;
    server.execute(&format!(
        "INSERT INTO kser.runs ({COLUMNS})
         SELECT convert_to('done-' || n, 'UTF8'), convert_to('shop.Old', 'UTF8'), 'old', 'd', 1700000000000 + n, 'SUCCESS', 2, 8, n, NULL,
             (SELECT progress FROM kser.runs LIMIT 1), 1, 1700000000000 + n, 8
         FROM generate_series(1, {RUNS}) AS n"
    ));
    server.execute("VACUUM ANALYZE");
    runs("postgres", kser).await;
}

/// Runs the operations that fail, and the long one.
async fn filled(store: &str) -> Client {
    let kser = kser::connect_with_store("memory://", store).await.unwrap();
    let task = charge.with_retry(RetryPolicy::never());
    let consumer = kser.consumer(Registry::new().task(task).build().unwrap());
    let consumer = consumer.spawn();
    let mut launched = Vec::new();
    for order in 0..FAILED {
        let steps = vec![Step::new(Charge { order })];
        let launch = kser.producer().launch_steps("shop.Order", steps);
        launched.push(launch.with_id(format!("failed-{order}")).await.unwrap());
    }
    let steps = (0..STEPS).map(|n| Step::new(Charge { order: FAILED + n }));
    let launch = kser.producer().launch_steps("shop.Book", steps.collect());
    launched.push(launch.with_id("long").await.unwrap());
    for run in launched {
        run.wait().await.unwrap();
    }
    consumer.stop().await.unwrap();
    kser
}

fn pages(kser: Client) -> Router {
    let gate = Gate::program(|_| Access::Act("oncall".to_owned()));
    kser_web::router(Ops::new(kser), WebOptions::new(gate).with_acts())
}

async fn runs(store: &str, kser: Client) {
    let pages = pages(kser);
    for path in [
        "/",
        "/runs",
        "/runs?status=failed",
        "/runs?status=success&since=30000h",
        "/causes",
        "/runs/failed-7",
        "/runs/long",
        "/runs/long?at=5000",
        "/runs/long?show=9999",
        "/find?q=done-9999",
        "/consumers",
        "/waiting",
        "/api/v1/runs?limit=50",
        "/api/v1/runs/long",
    ] {
        measure(&format!("{store} {path}"), &pages, path).await;
    }
}

async fn letters() {
    let transport = MemoryTransport::new();
    let topic = Topic::new("shop.dlt").unwrap();
    let payload = "x".repeat(1024);
    let letter = |n: usize| {
        let record = Record::new(topic.clone(), Some(payload.clone().into()));
        let record = record.with_header(headers::ENTRYPOINT, "shop.Charge");
        let record = record.with_header(headers::RUN, format!("run-{n}"));
        let error = format!("Refused (500): order {n} is refused");
        record.with_header(headers::ERROR, error)
    };
    for first in (0..LETTERS).step_by(1000) {
        let letters = (first..first + 1000).map(letter).collect();
        transport.publish(letters).await.unwrap();
    }
    let builder = Client::builder(transport).store(MemoryStore::new());
    let pages = pages(builder.build().await.unwrap());
    let began = Instant::now();
    let mut asked = Vec::new();
    loop {
        let (time, text) = once(&pages, "/letters").await;
        asked.push(time);
        if text.contains(r#"data-whole="true""#) {
            break;
        }
    }
    let whole = millis(began.elapsed());
    println!("letters, the first reading: whole after {whole:.0} ms");
    print("letters /letters meanwhile", asked, 0);
    for path in [
        "/letters",
        "/letters?topic=shop",
        "/letters/list",
        "/letters/at/shop.dlt/0/99999",
    ] {
        measure(&format!("letters {path}"), &pages, path).await;
    }
}

/// Prints the times and the size of a page.
async fn measure(name: &str, pages: &Router, path: &str) {
    let mut figures = Vec::with_capacity(TIMES);
    let mut size = 0;
    for _ in 0..TIMES {
        let (time, text) = once(pages, path).await;
        figures.push(time);
        size = size.max(text.len());
    }
    print(name, figures, size);
}

fn print(name: &str, mut figures: Vec<Duration>, size: usize) {
    figures.sort_unstable();
    let at =
        |per_cent: usize| millis(figures[(figures.len() * per_cent / 100).min(figures.len() - 1)]);
    println!(
        "{name}: p50 {:.1} ms, p99 {:.1} ms, {size} bytes",
        at(50),
        at(99)
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

async fn once(pages: &Router, path: &str) -> (Duration, String) {
    let request = Request::get(path).header("host", "localhost");
    let request = request.body(Body::empty()).unwrap();
    let began = Instant::now();
    let answer = pages.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let body = to_bytes(answer.into_body(), 100_000_000).await.unwrap();
    let time = began.elapsed();
    assert!(
        status.is_success() || status.is_redirection(),
        "{path}: {status}"
    );
    (time, String::from_utf8(body.to_vec()).unwrap())
}
