#!/usr/bin/env bash
# On tokio's runtime with several workers, one task that blocks its thread can stop every timer of the runtime, although all
# other workers are idle: the worker that was woken by a timer (or a socket) is the one that waits for timers and sockets, and
# it asks no other worker to wait in its place before it runs the only task that is ready. And a task that the blocked one has
# woken last waits for it, since other workers may not take it.
# So a heartbeat that "has a task of its own" on a runtime of four workers misses its time: it needs a thread outside of the
# runtime, whose spawn wakes an idle worker.
#
# Versions: tokio 1.54.1 (rt-multi-thread, time, sync), rustc 1.95. Takes half a minute. 1.51.0 let other workers take the task
# that was woken last; its changelog says that later releases took that back.
#
# Steps: a runtime with four workers has two tasks: one sleeps for 50 ms by a timer and then blocks its thread for two seconds,
# the other sleeps for 20 ms at a time and notes the longest time between two looks at the clock. Then the same with a task that
# wakes another by `Notify` and blocks: how long until the other runs. Last, with a thread outside that spawns an empty task
# each 100 ms while the first case runs.
#
# A reader would expect 20 ms, perhaps 40, with three idle workers.
# Seen: 2 s in the first case and in the second; 0.1 s with the thread outside. The script fails when that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat > Cargo.toml <<'X'
[package]
name = "blocked"
version = "0.0.0"
edition = "2024"

[dependencies]
tokio = { version = "=1.54.1", features = ["rt-multi-thread", "time", "sync"] }
X
cat > src/main.rs <<'X'
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

const MS: Duration = Duration::from_millis(1);

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(4).enable_time().build().unwrap()
}

/// Returns the longest time between two ticks of a task beside one that blocks.
fn longest_gap(outside: bool) -> Duration {
    let runtime = runtime();
    if outside {
        let handle = runtime.handle().clone();
        thread::spawn(move || for _ in 0..40 {
            thread::sleep(100 * MS);
            handle.spawn(async {});
        });
    }
    let ticks = runtime.spawn(async {
        let (began, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
        while began.elapsed() < 3000 * MS {
            tokio::time::sleep(20 * MS).await;
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        longest
    });
    runtime.spawn(async {
        tokio::time::sleep(50 * MS + MS / 2).await;
        thread::sleep(2000 * MS);
    });
    // The main thread waits outside of the runtime.
    while !ticks.is_finished() {
        thread::sleep(10 * MS);
    }
    let longest = runtime.block_on(ticks).unwrap();
    runtime.shutdown_background();
    longest
}

/// Returns how long a task that was woken waits for the one that woke it and then blocks.
fn woken_last() -> Duration {
    let runtime = runtime();
    let notify = Arc::new(Notify::new());
    let woken = runtime.spawn({
        let notify = Arc::clone(&notify);
        async move {
            notify.notified().await;
            Instant::now()
        }
    });
    thread::sleep(200 * MS);
    let began = runtime.spawn(async move {
        let began = Instant::now();
        notify.notify_one();
        thread::sleep(2000 * MS);
        began
    });
    thread::sleep(2500 * MS);
    runtime.block_on(async { woken.await.unwrap() - began.await.unwrap() })
}

fn main() {
    let median = |mut seen: Vec<Duration>| {
        seen.sort();
        seen[seen.len() / 2].as_millis()
    };
    println!("timers {}", median((0..3).map(|_| longest_gap(false)).collect()));
    println!("woken-last {}", median((0..3).map(|_| woken_last()).collect()));
    println!("timers-with-a-thread-outside {}", median((0..3).map(|_| longest_gap(true)).collect()));
}
X
cargo run -q --release > seen
cat seen
changed=0
look() { # name, at least, at most
    local ms; ms=$(sed -n "s/^$1 //p" seen)
    [ "$ms" -ge "$2" ] && [ "$ms" -le "$3" ] || { echo "$1 differs: between $2 and $3 ms were seen before"; changed=1; }
}
look timers 1500 2600
look woken-last 1900 2600
look timers-with-a-thread-outside 20 700
exit $changed
