//! A consumer whose wall clock is stepped while its tasks wait, on real Kafka: no wait is shorter or longer for it.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::lines::Lines;
use crate::common::process::run_alone;
use crate::common::{Tested, connect, expect, on_kafka, until, url};
use kser::task::task_fn;
use kser::{Context, Entrypoint, Registry, RetryPolicy, TaskError};
use libtest_mimic::{Failed, Trial};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Names the client of a process that is a consumer.
const CHILD: &str = "KSER_TEST_STEPPED";
/// Has the test run, if libfaketime is installed.
const ASKED: &str = "KSER_STEPPED_CLOCK";
/// Longer than is kept in hand, so that it goes through topics.
const BACKOFF: Duration = Duration::from_secs(12);
/// What is waited for comes sooner, unless it is lost.
const LONG: Duration = Duration::from_secs(120);

#[derive(Debug, Serialize, Deserialize, Entrypoint)]
#[entrypoint("clock.Flaky")]
struct Flaky {}

/// A task that no consumer knows.
#[derive(Debug, Serialize, Deserialize, Entrypoint)]
#[entrypoint("clock.Unknown")]
struct Unknown {}

pub(crate) fn trials() -> Vec<Trial> {
    // They need libfaketime and a compiler, and run when they are asked for. No clock is ever ahead of that of the brokers,
    // which take no record from an hour ahead.
    let is_asked_for = std::env::var_os(ASKED).is_some() && library().is_some();
    let trials = [
        on_kafka("a_wait_goes_on_when_the_wall_clock_is_stepped_back", || {
            stepped("+0s", "-3600s")
        }),
        on_kafka(
            "a_wait_is_no_shorter_when_the_wall_clock_is_stepped_ahead",
            || stepped("-3600s", "+0s"),
        ),
    ];
    let trials = trials.map(|trial| trial.with_ignored_flag(!is_asked_for));
    trials.into()
}

/// Finds the library that steps the clock of a process.
fn library() -> Option<String> {
    let folders = fs::read_dir("/usr/lib").ok()?;
    let folders = folders.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found = found.find(|library| library.exists())?;
    Some(found.display().to_string())
}

/// Builds what has the timed waits of the Kafka client go by the stepped clock, too.
fn timed_waits(name: &str) -> Result<PathBuf, Failed> {
    let name = format!("timed-waits-{}{name}.so", std::process::id());
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/timed_waits.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]);
    let built = compiler.args([&library, &source]).status()?;
    expect(built.success(), || format!("cc: {built}"))?;
    Ok(library)
}

fn registry() -> Registry {
    let flaky = task_fn(|ctx: Context, _: Flaky| async move {
        println!("ran {}", ctx.attempt());
        match ctx.attempt() {
            1 => Err(TaskError::new("Flaky", "again")),
            _ => Ok(()),
        }
    });
    let flaky = flaky.with_retry(RetryPolicy::exponential(3, BACKOFF));
    Registry::new().task(flaky).build().unwrap()
}

/// Lives as a consumer, if this process was started as one. Says whether it was.
pub(crate) fn was_consumer() -> bool {
    let Ok(url) = std::env::var(CHILD) else {
        return false;
    };
    run_alone(async {
        let kser = kser::connect(&url).await?;
        kser.consumer(registry()).run().await
    });
    true
}

/// A consumer whose time of day is that of the machine and what a file says.
struct Stepped(Child, Lines);

impl Stepped {
    fn start(url: &str, file: &Path, timed_waits: &Path) -> Result<Self, Failed> {
        let faketime = library().unwrap_or_default();
        let mut child = Command::new(std::env::current_exe()?)
            .env(CHILD, url)
            .env(
                "LD_PRELOAD",
                format!("{faketime} {}", timed_waits.display()),
            )
            .env("FAKETIME_TIMESTAMP_FILE", file)
            .env("FAKETIME_NO_CACHE", "1")
            // A step of the wall clock touches no other.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1")
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = Lines::of(&mut child);
        Ok(Self(child, lines))
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Steps the clock of a consumer while a task waits for its second attempt.
async fn stepped(from: &str, to: &str) -> Tested {
    let url = url("");
    let kser = connect(&url, &registry(), 1).await?;
    let file = std::env::temp_dir().join(format!("kser-clock-{}{to}", std::process::id()));
    fs::write(&file, from)?;
    let timed_waits = timed_waits(to)?;
    let consumer = Stepped::start(&url, &file, &timed_waits)?;
    let lines = &consumer.1;
    kser.producer().send(Flaky {}).await?;
    kser.producer().send(Unknown {}).with_topic("clock").await?;
    let began = until("the first attempt", LONG, || !lines.texts("ran").is_empty()).await;
    began.map_err(|_| format!("no first attempt:\n{}", lines.output()))?;
    let failed = Instant::now();
    fs::write(&file, to)?;
    let done = until("the second", LONG, || lines.texts("ran").len() == 2).await;
    let waited = failed.elapsed();
    for file in [file, timed_waits] {
        let _ = fs::remove_file(file);
    }
    done.map_err(|_| format!("the second attempt does not come:\n{}", lines.output()))?;
    expect(waited + Duration::from_secs(2) >= BACKOFF, || {
        format!("after {waited:?}")
    })?;
    // A message that no consumer knows is looked at again after a minute, not at once.
    let looks = lines
        .output()
        .matches("no handler for clock.Unknown")
        .count();
    expect((1..=2).contains(&looks), || format!("{looks} looks"))
}
