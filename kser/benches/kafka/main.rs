//! How fast tasks and operations go over a real Kafka, beside the bare client on the same broker in the same run.
//!
//! `cargo bench -p kser --features kafka,encryption --bench kafka -- [NAME ...]`, where a name is one of those at the end. The broker
//! is one that is started here, with the JVM's default compiler, or the one of `KSER_TEST_KAFKA`. Figures are medians.
//! `-- scale [PARTITIONS[+delays] ...]` has many partitions in one group, once for each size, on brokers of its own.

#![expect(
    clippy::disallowed_methods,
    reason = "real time is measured, and names are new every time"
)]

mod copy;
mod hop;
mod hot;
mod keys;
mod kill;
mod memory;
mod offsets;
mod operations;
mod plain;
mod process;
mod raw;
mod scale;
mod setup;
mod start;

use std::time::Duration;

type Run = fn(&setup::Setup);

fn main() {
    if process::was_consumer() || scale::was_consumer() {
        return;
    }
    let names: Vec<_> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with('-'))
        .collect();
    // It takes minutes, and starts brokers of its own.
    if names.first().is_some_and(|name| name == "scale") {
        return scale::run(&names[1..]);
    }
    let setup = setup::Setup::new();
    let all: [(&str, Run); 14] = [
        ("copy", copy::run),
        ("encrypted", copy::run_encrypted),
        ("run", copy::run_alone),
        ("hop", hop::run),
        ("stored", hop::run_stored),
        ("operations", operations::run),
        ("plain", plain::run),
        ("keys", keys::run),
        ("hot", hot::run),
        ("kill", kill::run),
        ("memory", memory::run),
        ("start", start::run),
        ("idle", start::idle),
        ("backlog", start::with_backlog),
    ];
    for (name, run) in all {
        if names.is_empty() || names.iter().any(|asked| asked == name) {
            run(&setup);
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}
