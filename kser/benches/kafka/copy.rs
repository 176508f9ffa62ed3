use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use kser::encryption::{Encryption, Key, KeyId, KeyRing};
use kser::{Context, Registry};

use crate::raw;
use crate::setup::{Counter, Out, RUNS, Setup, Work, median, processor, text};

const COUNT: usize = 400_000;

/// Consume, run (no work), publish, settle: against a loop of the bare client.
pub(crate) fn run(setup: &Setup) {
    let (mut bare, mut ours) = (Figures::default(), Figures::default());
    for _ in 0..RUNS {
        let (kser, prefix) = filled(setup);
        let [input, output] = ["work", "out"].map(|topic| format!("{prefix}{topic}"));
        bare.take(|| raw::copy(&setup.servers, &input, &output, COUNT));
        ours.take(|| setup.runtime.block_on(copies(&kser, true)));
    }
    bare.say("copy, bare client");
    ours.say("copy, kser");
    println!(
        "copy, ratio: {:.2}",
        median(ours.rates) / median(bare.rates)
    );
}

/// Consume, run (no work), settle.
pub(crate) fn run_alone(setup: &Setup) {
    let mut ours = Figures::default();
    for _ in 0..RUNS {
        let (kser, _) = filled(setup);
        ours.take(|| setup.runtime.block_on(copies(&kser, false)));
    }
    ours.say("consume, run, settle, kser");
}

/// Copies with encryption, against copies without. Half of the runs begin with the one, half with the other.
pub(crate) fn run_encrypted(setup: &Setup) {
    let id = KeyId::new("2026-02").expect("it has the characters of an id");
    let ring = KeyRing::new(id, Key::random());
    let (mut plain, mut sealed, mut ratios) = (Figures::default(), Figures::default(), Vec::new());
    for run in 0..2 * RUNS {
        let mut encrypt = || {
            let kser = setup.runtime.block_on(async {
                let encryption = Encryption::new(ring.clone());
                let connected = setup.connect_as(6, |builder| builder.encryption(encryption));
                let (kser, _) = connected.await;
                fill(&kser, COUNT).await;
                kser
            });
            sealed.take(|| setup.runtime.block_on(copies(&kser, true)));
        };
        let mut leave = || {
            let (kser, _) = filled(setup);
            plain.take(|| setup.runtime.block_on(copies(&kser, true)));
        };
        match run % 2 {
            0 => {
                leave();
                encrypt();
            }
            _ => {
                encrypt();
                leave();
            }
        }
        ratios.push(sealed.last() / plain.last());
    }
    plain.say("copy, kser");
    sealed.say("copy, kser, encrypted");
    println!("copy, encrypted beside not: {:.2}", median(ratios));
}

fn filled(setup: &Setup) -> (kser::Client, String) {
    setup.runtime.block_on(async {
        let (kser, prefix) = setup.connect(6).await;
        fill(&kser, COUNT).await;
        (kser, prefix)
    })
}

/// Rates, and microseconds of processor time for each message, by the kind of thread.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    costs: BTreeMap<String, Vec<f64>>,
}

impl Figures {
    fn take(&mut self, run: impl FnOnce() -> f64) {
        let before = processor();
        self.rates.push(run());
        for (thread, after) in processor() {
            let used = after - before.get(&thread).copied().unwrap_or_default();
            let costs = self.costs.entry(thread).or_default();
            costs.push(used * 1e6 / COUNT as f64);
        }
    }

    fn last(&self) -> f64 {
        self.rates.last().copied().unwrap_or_default()
    }

    fn say(&self, what: &str) {
        let rate = median(self.rates.clone());
        println!("{what}: {rate:.0}/s; processor time each:");
        for (thread, costs) in &self.costs {
            let cost = median(costs.clone());
            if cost >= 0.05 {
                println!("    {thread}: {cost:.1} us");
            }
        }
    }
}

/// Puts this many tasks into the topic.
pub(crate) async fn fill(kser: &kser::Client, count: usize) -> f64 {
    let work = |number| Work {
        number,
        text: text(),
    };
    fill_with(kser, count, work).await
}

/// Puts this many tasks of one's own into the topic.
pub(crate) async fn fill_with(kser: &kser::Client, count: usize, work: fn(u32) -> Work) -> f64 {
    let producer = kser.producer();
    let began = Instant::now();
    let numbers: Vec<_> = (0..u32::try_from(count).unwrap_or(u32::MAX)).collect();
    for batch in numbers.chunks(10_000) {
        let sends = batch.iter().map(|number| producer.send(work(*number)));
        for sent in producer.send_all(sends).await {
            sent.expect("it is sent");
        }
    }
    count as f64 / began.elapsed().as_secs_f64()
}

async fn copies(kser: &kser::Client, publishes: bool) -> f64 {
    let counter = Counter::new();
    let counting = Arc::clone(&counter);
    let copy = move |context: Context, work: Work| {
        let counter = Arc::clone(&counting);
        async move {
            if publishes {
                let Work { number, text } = work;
                context.send(Out { number, text })?;
            }
            counter.count(COUNT);
            Ok::<(), kser::TaskError>(())
        }
    };
    let registry = Registry::new()
        .task(copy)
        .build()
        .expect("the name is free");
    let consumer = kser
        .consumer(registry)
        .with_buffer(2048, usize::MAX)
        .spawn();
    while counter.ran.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let began = Instant::now();
    counter.all.notified().await;
    let rate = COUNT as f64 / began.elapsed().as_secs_f64();
    consumer.stop().await.expect("it stops");
    rate
}
