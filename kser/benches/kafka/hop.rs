use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kser::postgres::PostgresStore;
use kser::{Client, Registry, Step};

use crate::process::micros;
use crate::raw;
use crate::setup::{RUNS, Setup, Work, median, options, percentile, text};

const HOPS: usize = 500;
const STEPS: usize = 40;

/// A hop of an operation (from the end of a task to the start of the next), and an operation of 40 steps. Exactly once, the bare
/// client makes a transaction.
pub(crate) fn run(setup: &Setup) {
    let (mut bare, mut ours, mut forty) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (kser, prefix) = setup.runtime.block_on(setup.connect(6));
        let topic = format!("{prefix}out");
        let mut hops = match options().contains("exactly-once") {
            true => raw::transactions(&setup.servers, &topic, HOPS),
            false => raw::hops(&setup.servers, &topic, HOPS),
        };
        bare.push(percentile(&mut hops, 0.5));
        let mut hops = setup.runtime.block_on(hops_of_operations(&kser));
        ours.push(percentile(&mut hops, 0.5));
        forty.push(setup.runtime.block_on(operations(&kser)));
    }
    let (bare, ours) = (median(bare), median(ours));
    println!(
        "hop of an operation, p50: kser {ours:.2} ms, bare client {bare:.2} ms, ratio {:.2}",
        ours / bare
    );
    println!(
        "one operation of {STEPS} steps: {:.2} ms a step",
        median(forty)
    );
}

/// An operation of 40 steps whose state is on PostgreSQL.
pub(crate) fn run_stored(setup: &Setup) {
    let server = test_services::postgres();
    let mut forty = Vec::new();
    for _ in 0..RUNS {
        let connect = async {
            let url = format!("{}?schema=bench_{}", server.url(), micros());
            let store = PostgresStore::open(&url).await.expect("the server runs");
            setup.connect_as(6, |builder| builder.store(store)).await
        };
        let (kser, _) = setup.runtime.block_on(connect);
        // The first one warms the statements up.
        setup.runtime.block_on(operations(&kser));
        forty.push(setup.runtime.block_on(operations(&kser)));
    }
    println!(
        "one operation of {STEPS} steps, on PostgreSQL: {:.2} ms a step",
        median(forty)
    );
}

fn work(number: u32) -> Work {
    Work {
        number,
        text: text(),
    }
}

/// When the steps of operations end and begin, one operation of two steps at a time.
async fn hops_of_operations(kser: &Client) -> Vec<Duration> {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noting = Arc::clone(&times);
    let step = move |_: Work| {
        noting.lock().expect("nobody panics").push(Instant::now());
        async {}
    };
    let registry = Registry::new()
        .task(step)
        .build()
        .expect("the name is free");
    let consumer = kser.consumer(registry).spawn();
    for number in 0..HOPS + 20 {
        let steps = vec![Step::new(work(0)), Step::new(work(1))];
        let run = kser
            .producer()
            .launch_steps("work.Pair", steps)
            .await
            .expect("it is sent");
        run.result().await.expect("it succeeds");
        tokio::time::sleep(Duration::from_millis(2)).await;
        if number == 19 {
            times.lock().expect("nobody panics").clear();
        }
    }
    consumer.stop().await.expect("it stops");
    let times = times.lock().expect("nobody panics");
    times
        .chunks_exact(2)
        .map(|pair| pair[1] - pair[0])
        .collect()
}

async fn operations(kser: &Client) -> f64 {
    let step = |_: Work| async {};
    let registry = Registry::new()
        .task(step)
        .build()
        .expect("the name is free");
    let consumer = kser.consumer(registry).spawn();
    let mut times = Vec::new();
    for _ in 0..10 {
        let steps = (0..STEPS as u32)
            .map(|number| Step::new(work(number)))
            .collect();
        let began = Instant::now();
        let run = kser
            .producer()
            .launch_steps("work.Forty", steps)
            .await
            .expect("it is sent");
        run.result().await.expect("it succeeds");
        times.push(began.elapsed().as_secs_f64() * 1e3 / STEPS as f64);
    }
    consumer.stop().await.expect("it stops");
    median(times)
}
