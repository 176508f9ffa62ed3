//! How fast the program answers, each question by a process of its own: `cargo bench -p kser-cli`. The arguments are the figures that
//! are wanted: `version`, `sqlite` and `postgres` (beside 1,000,000 runs, and for one of 10,000 steps), `load` (the throughput of workers
//! while they are asked), and `letters` (100,000 dead letters of 1 KiB on Kafka).
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the bench")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kser::backend::{Record, Transport, headers};
use kser::kafka::KafkaTransport;
use kser::message::Topic;
use kser::run::Status;
use kser::{Entrypoint, Registry, Step, TaskError};
use kser_cli::args::Cli;
use kser_cli::{Output, ProcessTerminal};
use kser_ops::{Access, Ops};
use serde::{Deserialize, Serialize};
use test_services::Postgres;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

const LETTERS: usize = 100_000;
const RUNS: u32 = 1_000_000;
const STEPS: usize = 10_000;

/// The time of a measurement of throughput, and the number of those with and without questions.
const WINDOW: Duration = Duration::from_secs(8);
const PAIRS: usize = 5;

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Charge")]
struct Charge {
    order: u32,
}

async fn charge(charge: Charge) -> Result<(), TaskError> {
    let order = charge.order;
    Err(TaskError::permanent(
        "Refused",
        format!("order {order} is refused"),
    ))
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("shop.Pack")]
struct Pack {}

async fn pack(_: Pack) -> String {
    "packed".to_owned()
}

#[tokio::main]
async fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with('-'))
        .collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    if is_wanted("version") {
        ask("--version", &[], 21);
    }
    let folder = std::env::temp_dir().join(format!("kser-operator-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    if is_wanted("sqlite") {
        runs(&Store::sqlite(&folder.join("shop.db"))).await;
    }
    if is_wanted("postgres") {
        runs(&Store::postgres()).await;
    }
    if is_wanted("load") {
        load(&Store::sqlite(&folder.join("load.db"))).await;
        load(&Store::postgres()).await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
    if is_wanted("letters") {
        letters().await;
    }
}

/// A state store, and the place where its tables are filled.
struct Store {
    name: &'static str,
    url: String,
    file: PathBuf,
    server: Option<Postgres>,
}

impl Store {
    fn sqlite(file: &Path) -> Self {
        Self {
            name: "SQLite",
            url: format!("sqlite://{}", file.display()),
            file: file.to_owned(),
            server: None,
        }
    }

    fn postgres() -> Self {
        let server = Postgres::start_with(&[("shared_buffers", "512MB")]);
        Self {
            name: "PostgreSQL",
            url: server.url(),
            file: PathBuf::new(),
            server: Some(server),
        }
    }

    /// Adds a million runs that have succeeded.
    fn fill(&self) {
        let Some(server) = &self.server else {
            let tables = rusqlite::Connection::open(&self.file).unwrap();
            let columns = "id, name, topic, digest, created, status, position, version, stamp, look_at, progress, steps, updated, noted";
            return tables
                .execute_batch(&format!(
                    "BEGIN IMMEDIATE;
                     WITH RECURSIVE made (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM made WHERE n < {RUNS})
                     INSERT INTO kser_runs ({columns})
                     SELECT 'done-' || n, 'shop.Old', 'old', 'd', 1700000000000 + n, 'SUCCESS', 2, 8, n, NULL,
                         (SELECT progress FROM kser_runs LIMIT 1), 1, 1700000000000 + n, 8
                     FROM made;
                     COMMIT"
                ))
                .unwrap();
        };
        server.execute(&format!(
            "INSERT INTO kser.runs (id, name, topic, digest, created, status, position, version, stamp, look_at, progress)
             SELECT convert_to('done-' || n, 'UTF8'), convert_to('shop.Old', 'UTF8'), 'old', 'd', 1700000000000 + n, 'SUCCESS', 2, 8, n,
                 NULL, (SELECT progress FROM kser.runs LIMIT 1)
             FROM generate_series(1, {RUNS}) AS made (n);
             ANALYZE kser.runs"
        ));
    }
}

/// Asks beside a million runs, ten of which have failed, and for one of ten thousand steps.
async fn runs(store: &Store) {
    let url = store.url.as_str();
    let kser = kser::connect_with_store("memory://", url).await.unwrap();
    let registry = Registry::new().task(charge).task(pack).build().unwrap();
    let consumer = kser.consumer(registry).spawn();
    for order in 0..10 {
        let steps = vec![Step::new(Charge { order })];
        let launch = kser.producer().launch_steps("shop.Order", steps);
        let run = launch.with_id(format!("failed-{order}")).await.unwrap();
        assert_eq!(run.wait().await.unwrap().status, Status::Failed);
    }
    let steps = (0..STEPS).map(|_| Step::new(Pack {}));
    let launch = kser.producer().launch_steps("shop.Long", steps.collect());
    let run = launch.with_id("long-1").await.unwrap();
    assert_eq!(run.wait().await.unwrap().status, Status::Success);
    consumer.stop().await.unwrap();
    store.fill();
    println!("{}, beside {RUNS} runs", store.name);
    let lines = [
        "runs ls",
        "runs ls --status failed",
        "runs causes",
        "runs show failed-7",
        "runs show long-1",
        "runs show long-1 -n 999",
        "runs outcome long-1 --step 5000",
        "waiting",
        "status",
    ];
    for line in lines {
        ask(line, &["--store", url], 11);
    }
    after_start(url, &lines).await;
}

/// Prints the times of the questions alone, over one connection.
async fn after_start(url: &str, lines: &[&str]) {
    let access = Access::new(None, Some(url.to_owned())).unwrap();
    let began = Instant::now();
    let ops = Ops::connect(&access).await.unwrap();
    println!(
        "connected in {:.1} ms",
        began.elapsed().as_secs_f64() * 1000.0
    );
    for line in lines {
        let mut times = Vec::new();
        for _ in 0..21 {
            let arguments = ["kser"].into_iter().chain(line.split(' '));
            let cli = <Cli as clap::Parser>::try_parse_from(arguments).unwrap();
            let (mut out, mut terminal) =
                (Output::new(false, None, ops.now()), ProcessTerminal::find());
            let began = Instant::now();
            kser_cli::run(cli.command, &ops, &mut out, &mut terminal)
                .await
                .unwrap();
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        println!(
            "after start-up, {line}: {:.1} ms, at most {:.1} ms",
            times[10], times[20]
        );
    }
}

/// Measures the runs a second of workers at full load, with and without a question each second, in turn.
async fn load(store: &Store) {
    let kser = kser::connect_with_store("memory://", &store.url)
        .await
        .unwrap();
    let registry = Registry::new().task(pack).build().unwrap();
    let consumer = kser.consumer(registry).spawn();
    let ended = Arc::new(AtomicU64::new(0));
    let mut launchers = JoinSet::new();
    for _ in 0..64 {
        let (kser, ended) = (kser.clone(), Arc::clone(&ended));
        launchers.spawn(async move {
            loop {
                let steps = vec![Step::new(Pack {}), Step::new(Pack {}), Step::new(Pack {})];
                let run = kser.producer().launch_steps("shop.Order", steps);
                run.await.unwrap().wait().await.unwrap();
                ended.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    sleep(WINDOW).await;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS * 2 {
        let began = ended.load(Ordering::Relaxed);
        let asks = pair % 2 == 0;
        let end = Instant::now() + WINDOW;
        let mut lines = ["runs ls", "runs causes", "status", "consumers ls"]
            .into_iter()
            .cycle();
        while Instant::now() < end {
            let next = Instant::now() + Duration::from_secs(1);
            if let Some(line) = lines.next().filter(|_| asks) {
                let rest = ["--store", &store.url].map(str::to_owned);
                let asked = move || once(line, &rest.each_ref().map(String::as_str));
                tokio::task::spawn_blocking(asked).await.unwrap();
            }
            sleep_until(next.min(end)).await;
        }
        let runs = ended.load(Ordering::Relaxed) - began;
        let into = if asks { &mut with } else { &mut without };
        let runs = u32::try_from(runs).unwrap();
        into.push(f64::from(runs) / WINDOW.as_secs_f64());
    }
    launchers.shutdown().await;
    consumer.stop().await.unwrap();
    for (how, mut figures) in [("asked once a second", with), ("alone", without)] {
        figures.sort_by(f64::total_cmp);
        println!(
            "{}: {how}, {:.0} runs of 3 steps a second ({:.0} to {:.0})",
            store.name,
            figures[PAIRS / 2],
            figures[0],
            figures[PAIRS - 1]
        );
    }
}

/// Asks for the causes of dead letters.
async fn letters() {
    let url = format!("kafka://{}", test_services::kafka());
    let transport = KafkaTransport::connect(&url).await.unwrap();
    let topic = Topic::new("bench.dlt").unwrap();
    test_services::Admin::new(test_services::kafka()).create_topic("bench.dlt", 3, 1);
    let payload = "x".repeat(1024);
    for first in (0..LETTERS).step_by(1000) {
        let letter = |n: usize| {
            Record::new(topic.clone(), Some(payload.clone().into()))
                .with_header(headers::ENTRYPOINT, "shop.Charge")
                .with_header(headers::RUN, format!("run-{n}"))
                .with_header(headers::CODE, "500")
                .with_header(
                    headers::ERROR,
                    format!("Refused (500): order {n} is refused"),
                )
        };
        let letters = (first..first + 1000).map(letter).collect();
        transport.publish(letters).await.unwrap();
    }
    ask("letters causes bench", &["--kafka", &url], 5);
    ask("letters ls bench -n 50", &["--kafka", &url], 5);
}

/// Prints the median time of a question, the most, and the most memory.
fn ask(line: &str, rest: &[&str], times: usize) {
    let mut figures: Vec<(Duration, u64)> = (0..times).map(|_| once(line, rest)).collect();
    figures.sort_unstable();
    let most = figures.iter().map(|(_, kib)| kib).max().unwrap();
    let (median, slowest) = (figures[times / 2].0, figures[times - 1].0);
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "kser {line}: {:.1} ms, at most {:.1} ms, {:.1} MiB",
        millis(median),
        millis(slowest),
        f64::from(u32::try_from(*most).unwrap()) / 1024.0
    );
}

fn once(line: &str, rest: &[&str]) -> (Duration, u64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kser"));
    command
        .args(line.split(' '))
        .args(rest)
        .stdout(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|row| row.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|row| row.trim().split(' ').next()?.parse().ok());
        most = peak.unwrap_or(0).max(most);
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "kser {line}: {ended}");
            return (began.elapsed(), most);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
