use std::sync::Arc;
use std::time::Instant;

use kser::{Context, Registry};

use crate::raw;
use crate::setup::{Counter, Out, RUNS, Setup, Work, median, processor, text};

const COUNT: usize = 400_000;

/// Consume, run (no work), publish, settle: against a loop of the bare client.
pub(crate) fn run(setup: &Setup) {
    let (mut bare, mut ours, mut alone) =
        (Figures::default(), Figures::default(), Figures::default());
    for _ in 0..RUNS {
        let (kser, prefix) = setup.runtime.block_on(setup.connect(6));
        setup.runtime.block_on(fill(&kser, COUNT));
        let [input, output] = ["work", "out"].map(|topic| format!("{prefix}{topic}"));
        bare.take(|| raw::copy(&setup.servers, &input, &output, COUNT));
        ours.take(|| setup.runtime.block_on(copies(&kser, true)));
        let (kser, _) = setup.runtime.block_on(setup.connect(6));
        setup.runtime.block_on(fill(&kser, COUNT));
        alone.take(|| setup.runtime.block_on(copies(&kser, false)));
    }
    bare.say("copy, bare client");
    ours.say("copy, kser");
    println!(
        "copy, ratio: {:.2}",
        median(ours.rates) / median(bare.rates)
    );
    alone.say("consume, run, settle, kser");
}

/// Rates, and microseconds of processor time for each message.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    costs: Vec<f64>,
}

impl Figures {
    fn take(&mut self, run: impl FnOnce() -> f64) {
        let before = processor();
        self.rates.push(run());
        self.costs.push((processor() - before) * 1e6 / COUNT as f64);
    }

    fn say(&self, what: &str) {
        let (rate, cost) = (median(self.rates.clone()), median(self.costs.clone()));
        println!("{what}: {rate:.0}/s, {cost:.1} us of processor time each");
    }
}

/// Puts this many tasks into the topic.
pub(crate) async fn fill(kser: &kser::Connection, count: usize) -> f64 {
    let work = |number| Work {
        number,
        text: text(),
    };
    fill_with(kser, count, work).await
}

/// Puts this many tasks of one's own into the topic.
pub(crate) async fn fill_with(kser: &kser::Connection, count: usize, work: fn(u32) -> Work) -> f64 {
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

async fn copies(kser: &kser::Connection, publishes: bool) -> f64 {
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
    let registry = Registry::new().task(copy).expect("the name is free");
    let consumer = kser.consumer(registry).with_held(2048, usize::MAX).spawn();
    while counter.ran.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let began = Instant::now();
    counter.all.notified().await;
    let rate = COUNT as f64 / began.elapsed().as_secs_f64();
    consumer.stop().await.expect("it stops");
    rate
}
