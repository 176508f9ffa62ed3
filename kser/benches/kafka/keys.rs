use std::sync::Arc;
use std::time::{Duration, Instant};

use kser::Registry;

use crate::setup::{Counter, Setup, Work, text};

const COUNT: usize = 10_000;

/// One partition, 0 to 5 ms of work each, 16 at a time, in the order of their keys.
pub(crate) fn run(setup: &Setup) {
    let ideal: f64 = (0..COUNT)
        .map(|number| pause(number).as_secs_f64())
        .sum::<f64>()
        / 16.0;
    for keys in [20, 100, 1000] {
        let took = setup.runtime.block_on(one(setup, keys));
        println!(
            "{COUNT} tasks of 0 to 5 ms in one partition, 16 at a time, {keys} keys: {took:.2} s (ideal {ideal:.2} s)"
        );
    }
}

/// The work of a task, which holds a thread: a timer of tokio would round each up by half a millisecond and more.
async fn work(number: usize) {
    let worked = tokio::task::spawn_blocking(move || std::thread::sleep(pause(number)));
    worked.await.expect("it does not panic");
}

/// Multiples of a millisecond.
fn pause(number: usize) -> Duration {
    Duration::from_millis((number * 7919 % 6) as u64)
}

async fn one(setup: &Setup, keys: usize) -> f64 {
    let (kser, _) = setup.connect(1).await;
    let producer = kser.producer();
    let sends = (0..COUNT).map(|number| {
        let work = Work {
            number: u32::try_from(number).unwrap_or_default(),
            text: text(),
        };
        producer
            .send(work)
            .with_key(format!("key {}", number % keys))
    });
    for sent in producer.send_all(sends).await {
        sent.expect("it is sent");
    }
    let counter = Counter::new();
    let counting = Arc::clone(&counter);
    let first: Arc<std::sync::OnceLock<Instant>> = Arc::default();
    let begins = Arc::clone(&first);
    let task = move |work: Work| {
        let counter = Arc::clone(&counting);
        begins.get_or_init(Instant::now);
        async move {
            self::work(work.number as usize).await;
            counter.count(COUNT);
        }
    };
    let registry = Registry::new()
        .task(task)
        .build()
        .expect("the name is free");
    let consumer = kser.consumer(registry).with_concurrency(16).spawn();
    counter.all.notified().await;
    let took = first.get().expect("it began").elapsed().as_secs_f64();
    consumer.stop().await.expect("it stops");
    took
}
