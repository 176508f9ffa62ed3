use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
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
        let bare = setup.runtime.block_on(bare(keys));
        let took = setup.runtime.block_on(one(setup, keys));
        println!(
            "{COUNT} tasks of 0 to 5 ms in one partition, 16 at a time, {keys} keys: {took:.3} s; bare queues of tokio {bare:.3} s; ideal {ideal:.3} s"
        );
    }
}

/// The tasks that wait, by key, and the keys of which none runs.
struct Lanes {
    waiting: Vec<VecDeque<usize>>,
    free: VecDeque<usize>,
}

impl Lanes {
    fn of(keys: usize) -> Self {
        let lane = |key| (key..COUNT).step_by(keys).collect();
        Self {
            waiting: (0..keys).map(lane).collect(),
            free: (0..keys).collect(),
        }
    }

    /// Frees the lane of the task that has ended, and returns the next one.
    fn next(&mut self, ended: Option<usize>) -> Option<(usize, usize)> {
        if let Some(key) = ended.filter(|key| !self.waiting[*key].is_empty()) {
            self.free.push_back(key);
        }
        let key = self.free.pop_front()?;
        Some((key, self.waiting[key].pop_front()?))
    }
}

/// The same tasks without kser and Kafka, in the order of their keys: what the timers and the threads of this machine allow.
async fn bare(keys: usize) -> f64 {
    let lanes = Arc::new(Mutex::new(Lanes::of(keys)));
    let began = Instant::now();
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let lanes = Arc::clone(&lanes);
            tokio::spawn(async move {
                let next = |ended| lanes.lock().expect("no worker panics").next(ended);
                let mut turn = next(None);
                while let Some((key, number)) = turn {
                    work(number).await;
                    turn = next(Some(key));
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("it does not panic");
    }
    began.elapsed().as_secs_f64()
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
