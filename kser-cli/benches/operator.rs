//! How fast the program answers, each question by a process of its own: `cargo bench -p kser-cli`. The arguments are the figures that
//! are wanted: `version`, `runs` (beside 1,000,000 runs on SQLite), and `letters` (100,000 dead letters of 1 KiB on Kafka).
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the bench")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use kser::backend::{Record, Transport, headers};
use kser::kafka::KafkaTransport;
use kser::message::Topic;
use kser::run::Status;
use kser::{Entrypoint, Registry, Step, TaskError};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

const LETTERS: usize = 100_000;
const RUNS: u32 = 1_000_000;

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
    if is_wanted("runs") {
        let folder = std::env::temp_dir().join(format!("kser-operator-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        runs(&folder.join("shop.db")).await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
    if is_wanted("letters") {
        letters().await;
    }
}

/// Asks beside a million runs, ten of which have failed.
async fn runs(file: &Path) {
    let url = format!("sqlite://{}", file.display());
    let kser = kser::connect_with_store("memory://", &url).await.unwrap();
    let registry = Registry::new().task(charge).build().unwrap();
    let consumer = kser.consumer(registry).spawn();
    for order in 0..10 {
        let steps = vec![Step::new(Charge { order })];
        let launch = kser.producer().launch_steps("shop.Order", steps);
        let run = launch.with_id(format!("failed-{order}")).await.unwrap();
        assert_eq!(run.wait().await.unwrap().status, Status::Failed);
    }
    consumer.stop().await.unwrap();
    let tables = rusqlite::Connection::open(file).unwrap();
    let columns = "id, name, topic, digest, created, status, position, version, stamp, look_at, progress, steps, updated, noted";
    let filled = tables.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         WITH RECURSIVE made (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM made WHERE n < {RUNS})
         INSERT INTO kser_runs ({columns})
         SELECT 'done-' || n, 'shop.Old', 'old', 'd', 1700000000000 + n, 'SUCCESS', 2, 8, n, NULL,
             (SELECT progress FROM kser_runs LIMIT 1), 1, 1700000000000 + n, 8
         FROM made;
         COMMIT"
    ));
    filled.unwrap();
    for line in [
        "runs ls",
        "runs ls --status failed",
        "runs causes",
        "runs show failed-7",
        "status",
    ] {
        ask(line, &["--store", &url], 11);
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
