use std::sync::Arc;
use std::time::Instant;

use kser::Registry;

use crate::copy::fill;
use crate::setup::{Counter, Setup, Work};

const COUNT: usize = 2_000_000;

/// Plain tasks: put, then run.
pub(crate) fn run(setup: &Setup) {
    let (kser, _) = setup.runtime.block_on(setup.connect(6));
    let put = setup.runtime.block_on(fill(&kser, COUNT));
    let counter = Counter::new();
    let counting = Arc::clone(&counter);
    let task = move |_: Work| {
        counting.count(COUNT);
        async {}
    };
    let ran = setup.runtime.block_on(async {
        let registry = Registry::new()
            .task(task)
            .build()
            .expect("the name is free");
        let began = Instant::now();
        let consumer = kser
            .consumer(registry)
            .with_buffer(8192, usize::MAX)
            .spawn();
        counter.all.notified().await;
        let ran = COUNT as f64 / began.elapsed().as_secs_f64();
        consumer.stop().await.expect("it stops");
        ran
    });
    println!("{COUNT} plain tasks: put {put:.0}/s, run {ran:.0}/s");
}
