//! How fast operations and lone tasks go through the memory transport, beside a bare channel of tokio that carries the
//! same bytes through the same number of hops. Every figure is the median of several runs, all in one process.
//!
//! The first argument is a part of the names of the figures that are wanted (lone, copied, stored, long, carried). `carried 64 6400`
//! runs carried operations of 64 steps, 6,400 steps in all, once and nothing else, and so does `stored`; `copied 20000` copies so
//! many messages once: for an instruction count.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kser::client::Mode;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::{Client, Context, Entrypoint, Registry, Step};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

const RUNS: usize = 5;
const LONE: usize = 200_000;

#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct Roll {
    sides: u8,
    who: String,
}

fn params() -> Roll {
    Roll {
        sides: 6,
        who: "somebody who plays for a long time".to_owned(),
    }
}

/// Counts what has run, and tells when all has.
#[derive(Default)]
struct Counter {
    ran: AtomicUsize,
    all: Notify,
}

fn registry(counter: &Arc<Counter>, expected: usize) -> Registry {
    let counter = Arc::clone(counter);
    let roll = move |_: Roll| {
        if counter.ran.fetch_add(1, Ordering::Relaxed) + 1 == expected {
            counter.all.notify_one();
        }
        async {}
    };
    Registry::new()
        .task(roll)
        .build()
        .expect("the name is free")
}

/// A message that a task sends, which no consumer reads.
#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("copy.Out")]
struct Out {
    text: String,
}

/// Tasks of 300 bytes a second that each send a message of that size, from the first that begins to the last.
async fn copied(count: usize) -> f64 {
    let kser = client(Mode::AtLeastOnce).await;
    let counter = Arc::new(Counter::default());
    let counted = Arc::clone(&counter);
    let copy = move |ctx: Context, roll: Roll| {
        let sent = ctx.send(Out { text: roll.who });
        if counted.ran.fetch_add(1, Ordering::Relaxed) + 1 == count {
            counted.all.notify_one();
        }
        async move { sent.map(drop) }
    };
    let producer = kser.producer();
    let roll = Roll {
        sides: 6,
        who: "x".repeat(100),
    };
    for _ in 0..count / 100 {
        let sends = (0..100).map(|_| producer.send(roll.clone()));
        for sent in producer.send_all(sends).await {
            sent.expect("memory takes it");
        }
    }
    let began = Instant::now();
    let registry = Registry::new().task(copy).build();
    let consumer = kser.consumer(registry.expect("the name is free"));
    let consumer = consumer.with_buffer(4096, usize::MAX).spawn();
    counter.all.notified().await;
    let rate = per_second(count, began);
    consumer.stop().await.expect("it stops");
    rate
}

async fn client(mode: Mode) -> Client {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let builder = Client::builder(transport).clock(clock);
    let builder = match mode {
        Mode::Stored => builder.store(MemoryStore::with_clock(clock)),
        _ => builder,
    };
    builder.build().await.expect("memory is always there")
}

/// Lone tasks a second, from producer to settle.
async fn lone() -> f64 {
    let kser = client(Mode::AtLeastOnce).await;
    let counter = Arc::new(Counter::default());
    let consumer = kser
        .consumer(registry(&counter, LONE))
        .with_buffer(4096, usize::MAX)
        .spawn();
    let producer = kser.producer();
    let began = Instant::now();
    for _ in 0..LONE / 100 {
        let sends = (0..100).map(|_| producer.send(params()));
        for sent in producer.send_all(sends).await {
            sent.expect("memory takes it");
        }
    }
    counter.all.notified().await;
    let rate = per_second(LONE, began);
    consumer.stop().await.expect("it stops");
    rate
}

/// The same bytes through as many hops (to the queue, to the consumer, to the worker) of bare channels.
async fn bare() -> f64 {
    let (to_queue, mut queue) = mpsc::channel::<Vec<u8>>(4096);
    let (to_consumer, mut consumer) = mpsc::channel::<Vec<u8>>(4096);
    let (to_worker, mut worker) = mpsc::channel::<Vec<u8>>(4096);
    let hops = [
        tokio::spawn(async move {
            while let Some(bytes) = queue.recv().await {
                to_consumer.send(bytes).await.expect("it is received");
            }
        }),
        tokio::spawn(async move {
            while let Some(bytes) = consumer.recv().await {
                to_worker.send(bytes).await.expect("it is received");
            }
        }),
    ];
    let began = Instant::now();
    let sender = tokio::spawn(async move {
        for _ in 0..LONE {
            to_queue
                .send(vec![b'x'; 300])
                .await
                .expect("it is received");
        }
    });
    for _ in 0..LONE {
        worker.recv().await;
    }
    let rate = per_second(LONE, began);
    sender.await.expect("it has sent");
    for hop in hops {
        hop.await.expect("it has ended");
    }
    rate
}

/// Steps a second, of operations of so many steps, 64 at a time.
async fn operations(mode: Mode, steps: usize, total: usize) -> f64 {
    let kser = client(mode).await;
    let operations = total / steps;
    let counter = Arc::new(Counter::default());
    let consumer = kser
        .consumer(registry(&counter, operations * steps))
        .spawn();
    let began = Instant::now();
    let mut launching = tokio::task::JoinSet::new();
    for _ in 0..operations {
        if launching.len() >= 64 {
            launching.join_next().await;
        }
        let producer = kser.producer();
        launching.spawn(async move {
            let steps = vec![Step::new(params()); steps];
            let run = producer.launch_steps("dice.DiceLaunch", steps).await;
            let run = run.expect("memory takes it");
            run.result().await.expect("it succeeds");
        });
    }
    while launching.join_next().await.is_some() {}
    let rate = per_second(operations * steps, began);
    consumer.stop().await.expect("it stops");
    rate
}

fn per_second(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

fn median(runtime: &Runtime, run: impl AsyncFn() -> f64) -> f64 {
    let mut runs: Vec<f64> = (0..RUNS).map(|_| runtime.block_on(run())).collect();
    runs.sort_by(f64::total_cmp);
    runs[RUNS / 2]
}

fn main() {
    // `cargo test` runs benches to see that they run at all.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime can be made");
    let mut arguments = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let wanted = arguments.next();
    let mut number = || Some(arguments.next()?.parse().expect("it is a number"));
    let (first, second) = (number(), number());
    if let (Some("copied"), Some(count)) = (wanted.as_deref(), first) {
        runtime.block_on(copied(count));
        return;
    }
    if let (Some(mode), Some(steps), Some(total)) = (&wanted, first, second) {
        let mode = match mode.as_str() {
            "stored" => Mode::Stored,
            _ => Mode::AtLeastOnce,
        };
        runtime.block_on(operations(mode, steps, total));
        return;
    }
    let wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| name.contains(wanted));
    if wanted("lone") {
        let bare = median(&runtime, bare);
        println!("bare tokio channels, 3 hops of 300 bytes: {bare:.0} a second");
        let lone = median(&runtime, lone);
        println!(
            "lone tasks: {lone:.0} a second, {:.2} of the bare channels",
            lone / bare
        );
    }
    if wanted("copied") {
        let copied = median(&runtime, async || copied(LONE).await);
        println!("copied messages: {copied:.0} a second");
    }
    for steps in [3, 40].into_iter().filter(|_| wanted("stored")) {
        let rate = median(&runtime, async || {
            operations(Mode::Stored, steps, 60_000).await
        });
        println!("stored operations of {steps} steps: {rate:.0} steps a second");
    }
    for steps in [100, 1_000, 10_000].into_iter().filter(|_| wanted("long")) {
        let rate = median(&runtime, async || {
            operations(Mode::Stored, steps, steps).await
        });
        let step = Duration::from_secs_f64(1.0 / rate);
        println!("one stored operation of {steps} steps: {step:.2?} a step");
    }
    let carried = [(1, 30_000), (40, 30_000), (256, 25_600)];
    for (steps, total) in carried.into_iter().filter(|_| wanted("carried")) {
        let rate = median(&runtime, async || {
            operations(Mode::AtLeastOnce, steps, total).await
        });
        println!("carried operations of {steps} steps: {rate:.0} steps a second");
    }
}
