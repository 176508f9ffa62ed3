//! The cost of a monitor for one message that a consumer handles: the observations of the start and the end of an attempt, and the
//! look at the clock that the end takes.

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use kser::client::{Clock, SystemClock};
use kser::message::Name;
use kser::observer::{AttemptResult, ClientObserver, ConsumerInfo, Observation, Observer};
use kser::{Client, Entrypoint, Registry};
use kser_observe::Monitor;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("billing.Charge")]
struct Charge {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("mail.Receipt")]
struct Receipt {}

/// Keeps the observer that a monitor makes for a consumer.
#[derive(Debug, Clone)]
struct Capture(Monitor, Arc<OnceLock<Arc<dyn Observer>>>);

impl Observer for Capture {
    fn observe(&self, observation: &Observation<'_>) {
        self.0.observe(observation);
    }
}

impl ClientObserver for Capture {
    fn of_consumer(&self, consumer: &ConsumerInfo<'_>) -> Arc<dyn Observer> {
        let observer = self.0.of_consumer(consumer);
        Arc::clone(self.1.get_or_init(|| observer))
    }
}

/// Starts a consumer, and returns its observer.
async fn observer() -> Result<Arc<dyn Observer>, kser::Error> {
    let capture = Capture(Monitor::new(), Arc::default());
    let kser = Client::builder_from_url("memory://").observer(capture.clone());
    let kser = kser.build().await?;
    let registry = Registry::new()
        .task(|_: DiceRoll| async {})
        .task(|_: Charge| async {})
        .task(|_: Receipt| async {});
    let consumer = kser.consumer(registry.build()?).spawn();
    tokio::task::yield_now().await;
    consumer.stop().await?;
    Ok(Arc::clone(capture.1.wait()))
}

fn hot_path(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime starts");
    let observer = runtime.block_on(observer()).expect("a consumer starts");
    let (clock, entrypoint) = (SystemClock::new(), Name::from("dice.DiceRoll"));
    let attempt = |took: &mut dyn FnMut() -> Duration| {
        let entrypoint = black_box(&entrypoint);
        observer.observe(&Observation::AttemptStarted { entrypoint });
        observer.observe(&Observation::AttemptEnded {
            entrypoint,
            result: AttemptResult::Success,
            duration: took(),
            waited: black_box(Some(Duration::from_micros(300))),
        });
    };
    c.bench_function("observe an attempt", |b| {
        b.iter(|| attempt(&mut || black_box(Duration::from_micros(3))));
    });
    let began = clock.now();
    c.bench_function("observe an attempt, with the clock", |b| {
        b.iter(|| attempt(&mut || clock.now().since(began)));
    });
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
