use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kser::Registry;

use crate::setup::{Counter, RUNS, Setup, Work, median, percentile, text};

/// How many records have keys that are no others', or few.
const OTHERS: usize = 14_000;
/// How many have one key: 30 % of all.
const HOT: usize = 6_000;
/// How many of them run until the figure is taken.
const ENOUGH: usize = 2_000;
const PARTITIONS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(5);

/// Tasks of 5 ms, 64 at a time: how many of the others run in a second without a hot key and beside it, and how long each
/// task of the hot key waits for the next after it.
pub(crate) fn run(setup: &Setup) {
    let (mut without, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut gaps = Vec::new();
    for _ in 0..RUNS {
        let alone = setup.runtime.block_on(one(setup, 0)).0;
        let (rate, mut between) = setup.runtime.block_on(one(setup, HOT));
        ratios.push(rate / alone);
        without.push(alone);
        beside.push(rate);
        gaps.append(&mut between);
    }
    println!(
        "{OTHERS} tasks of 5 ms, 64 at a time: {:.0}/s; beside {HOT} of one key {:.0}/s: {:.2} of it; between two tasks of \
         that key p50 {:.2} ms, p99 {:.2} ms, at most {:.1} ms",
        median(without),
        median(beside),
        median(ratios),
        percentile(&mut gaps, 0.5),
        percentile(&mut gaps, 0.99),
        percentile(&mut gaps, 1.0),
    );
}

/// When the latest task of the hot key ended, and the times from there to the next.
#[derive(Default)]
struct Gaps {
    ended: Option<Instant>,
    between: Vec<Duration>,
}

/// Returns how many of the others run in a second, and the times between the tasks of the hot key.
async fn one(setup: &Setup, hot: usize) -> (f64, Vec<Duration>) {
    let (kser, _) = setup.connect(PARTITIONS).await;
    let producer = kser.producer();
    let all = OTHERS + hot;
    let sends = (0..all).map(|number| {
        // Spread evenly.
        let is_hot = (number + 1) * hot / all > number * hot / all;
        let key = match is_hot {
            true => "hot".to_owned(),
            false => format!("key {}", number % 1_000),
        };
        let number = u32::from(is_hot);
        let work = Work {
            number,
            text: text(),
        };
        producer.send(work).with_key(key)
    });
    for sent in producer.send_all(sends).await {
        sent.expect("it is sent");
    }
    let (others, of_hot) = (Counter::new(), Counter::new());
    let first: Arc<std::sync::OnceLock<Instant>> = Arc::default();
    let gaps: Arc<Mutex<Gaps>> = Arc::default();
    let task = {
        let (others, of_hot) = (Arc::clone(&others), Arc::clone(&of_hot));
        let (first, gaps) = (Arc::clone(&first), Arc::clone(&gaps));
        move |work: Work| {
            first.get_or_init(Instant::now);
            let is_hot = work.number == 1;
            let (others, of_hot) = (Arc::clone(&others), Arc::clone(&of_hot));
            let gaps = Arc::clone(&gaps);
            async move {
                if is_hot {
                    let mut gaps = gaps.lock().expect("no task panics");
                    let ended = gaps.ended.take();
                    gaps.between.extend(ended.map(|at| at.elapsed()));
                }
                tokio::time::sleep(PAUSE).await;
                if is_hot {
                    gaps.lock().expect("no task panics").ended = Some(Instant::now());
                    of_hot.count(ENOUGH);
                } else {
                    others.count(OTHERS);
                }
            }
        }
    };
    let registry = Registry::new()
        .task(task)
        .build()
        .expect("the name is free");
    let consumer = kser.consumer(registry).with_concurrency(64).spawn();
    others.all.notified().await;
    let took = first.get().expect("it began").elapsed().as_secs_f64();
    if hot > 0 {
        of_hot.all.notified().await;
    }
    consumer.stop().await.expect("it stops");
    let between = std::mem::take(&mut gaps.lock().expect("no task panics").between);
    (OTHERS as f64 / took, between)
}
