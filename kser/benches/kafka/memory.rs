use std::time::{Duration, Instant};

use crate::copy::fill_with;
use crate::process::{Consumer, Process};
use crate::setup::{Setup, Work};

const COUNT: usize = 100_000;
/// Of each record.
const SIZE: usize = 1024;
/// What is in a message beside the text.
const AROUND: usize = 229;
const PAUSE: Duration = Duration::from_millis(100);
/// How long the consumer is looked at.
const LOOK: Duration = Duration::from_secs(15);

/// The memory of a consumer that is busy while much waits, above what it has when it is idle.
pub(crate) fn run(setup: &Setup) {
    let (kser, prefix) = setup.runtime.block_on(setup.connect(6));
    let consumer = Consumer::new(setup.url(&prefix)).with_pause(PAUSE);
    let first = consumer.start();
    setup.runtime.block_on(fill_with(&kser, 1, work));
    first.next_begins();
    std::thread::sleep(Duration::from_secs(5));
    let idle = first.memory("VmRSS");
    setup.runtime.block_on(fill_with(&kser, COUNT, work));
    let came = most_of(first);
    let waited = most_of(consumer.start());
    println!(
        "{COUNT} waiting records of {SIZE} bytes, 64 tasks of {} ms at a time: idle {idle:.1} MiB; at most {:.1} MiB more when they \
         come, {:.1} MiB more when they are there at the start",
        PAUSE.as_millis(),
        came - idle,
        waited - idle,
    );
}

/// A task that is a record of that size, its number with seven digits.
fn work(number: u32) -> Work {
    Work {
        number: 1_000_000 + number,
        text: "x".repeat(SIZE - AROUND),
    }
}

/// The most memory that a consumer has in a while in which it runs tasks all the time.
fn most_of(process: Process) -> f64 {
    let began = Instant::now();
    while began.elapsed() < LOOK {
        process.next_begins();
    }
    let most = process.memory("VmHWM");
    drop(process.kill());
    most
}
