use std::sync::Arc;
use std::time::Instant;

use kser::{Client, Registry, Step};

use crate::setup::{Counter, RUNS, Setup, Work, median, text};

const OPERATIONS: usize = 20_000;
const STEPS: usize = 3;

/// Operations of 3 steps, launched as fast as possible, with one consumer in the process.
pub(crate) fn run(setup: &Setup) {
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let (kser, _) = setup.runtime.block_on(setup.connect(6));
        rates.push(setup.runtime.block_on(operations(&kser)));
    }
    println!(
        "{OPERATIONS} operations of {STEPS} steps: {:.0} steps/s",
        median(rates)
    );
}

async fn operations(kser: &Client) -> f64 {
    let counter = Counter::new();
    let counting = Arc::clone(&counter);
    let step = move |_: Work| {
        counting.count(OPERATIONS * STEPS);
        async {}
    };
    let registry = Registry::new()
        .task(step)
        .build()
        .expect("the name is free");
    let consumer = kser
        .consumer(registry)
        .with_buffer(4096, usize::MAX)
        .spawn();
    let began = Instant::now();
    let mut launching = tokio::task::JoinSet::new();
    for _ in 0..OPERATIONS {
        if launching.len() >= 512 {
            launching.join_next().await;
        }
        let producer = kser.producer();
        launching.spawn(async move {
            let step = Step::new(Work {
                number: 1,
                text: text(),
            });
            let run = producer.launch_steps("work.Three", vec![step; STEPS]).await;
            drop(run.expect("it is sent"));
        });
    }
    counter.all.notified().await;
    let rate = (OPERATIONS * STEPS) as f64 / began.elapsed().as_secs_f64();
    while launching.join_next().await.is_some() {}
    consumer.stop().await.expect("it stops");
    rate
}
