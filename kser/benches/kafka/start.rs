use std::time::Duration;

use kser::Client;

use crate::copy::fill;
use crate::process::{Consumer, micros, seconds};
use crate::setup::{RUNS, Setup, Work, median, text};

const WAITING: usize = 1_000_000;
const IDLE: Duration = Duration::from_secs(60);

/// From the start of the process to its first task.
pub(crate) fn run(setup: &Setup) {
    let (mut new, mut again) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (kser, prefix) = setup.runtime.block_on(setup.connect(6));
        let consumer = Consumer::new(setup.url(&prefix));
        for times in [&mut new, &mut again] {
            setup.runtime.block_on(send(&kser));
            let began = micros();
            let process = consumer.start();
            times.push(seconds(began, process.next_begins().at));
            process.stop();
        }
    }
    println!(
        "start of the process to its first task, which waits: {:.2} s in a new group, {:.2} s after a stop",
        median(new),
        median(again)
    );
}

/// Much waits when the process starts.
pub(crate) fn with_backlog(setup: &Setup) {
    let (mut first, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (kser, prefix) = setup.runtime.block_on(setup.connect(6));
        setup.runtime.block_on(fill(&kser, WAITING));
        let consumer = Consumer::new(setup.url(&prefix)).telling_every(WAITING as u64 - 1);
        let began = micros();
        let process = consumer.start();
        let (begins, ends) = (process.next_begins().at, process.next_begins().at);
        first.push(seconds(began, begins));
        rates.push(WAITING as f64 / seconds(begins, ends));
        process.stop();
    }
    println!(
        "{WAITING} tasks of 300 bytes that wait at the start, settings as they are: first task after {:.2} s, then {:.0}/s",
        median(first),
        median(rates)
    );
}

/// A message after a minute without any, and the one behind it.
pub(crate) fn idle(setup: &Setup) {
    let (kser, prefix) = setup.runtime.block_on(setup.connect(6));
    let process = Consumer::new(setup.url(&prefix)).start();
    let latency = || {
        let began = micros();
        setup.runtime.block_on(send(&kser));
        let latency = seconds(began, process.next_begins().at) * 1e3;
        std::thread::sleep(Duration::from_millis(100));
        latency
    };
    latency();
    let (mut idle, mut next) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        std::thread::sleep(IDLE);
        idle.push(latency());
        next.push(latency());
    }
    process.stop();
    println!(
        "from send to the start of the task in another process: {:.2} ms after {} s without any, {:.2} ms for the next",
        median(idle),
        IDLE.as_secs(),
        median(next)
    );
}

async fn send(kser: &Client) {
    let work = Work {
        number: 0,
        text: text(),
    };
    let sent = kser.producer().send(work).await;
    drop(sent.expect("it is sent"));
}
