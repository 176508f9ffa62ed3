//! A broker that is frozen while many tasks wait: the consumer holds a bounded number of them, and nothing is lost, runs twice or
//! overtakes another of its key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Tested, connect, expect, on_cluster, until, url_of};
use kser::{Client, Context, Entrypoint, Registry, TaskError};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use test_services::Cluster;
use tokio::time::sleep;

/// The keys of the tasks, which take turns.
const KEYS: usize = 100;

/// The records that a consumer holds.
const HELD: usize = 256;

/// A frozen broker answers again before a session or a request of this length is over.
const PATIENT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("sea.Ship")]
struct Ship {
    number: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("port.Arrival")]
struct Arrival {
    number: usize,
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![on_cluster(
        "a_a_broker_is_frozen_while_many_tasks_wait",
        many_wait,
    )]
}

/// Reads the setting of a longer test.
fn setting(name: &str, default: u64) -> u64 {
    let setting = std::env::var(name).ok();
    setting
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// The arrivals by key, in their order.
#[derive(Debug, Clone, Default)]
struct Arrivals(Arc<Mutex<BTreeMap<usize, Vec<usize>>>>);

impl Arrivals {
    fn add(&self, number: usize) {
        let mut all = self.0.lock().unwrap();
        all.entry(number % KEYS).or_default().push(number);
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Counts the numbers that arrived, each once.
    fn distinct(&self) -> usize {
        let all = self.0.lock().unwrap();
        let first = all.values().map(|numbers| first_of_each(numbers).len());
        first.sum()
    }

    /// Checks that the first arrivals of each key are in order.
    fn are_in_order(&self) -> Tested {
        for numbers in self.0.lock().unwrap().values() {
            let first = first_of_each(numbers);
            expect(first.is_sorted(), || format!("{first:?}"))?;
        }
        Ok(())
    }
}

fn first_of_each(numbers: &[usize]) -> Vec<usize> {
    let mut seen = std::collections::BTreeSet::new();
    let first = numbers.iter().filter(|number| seen.insert(**number));
    first.copied().collect()
}

fn registry(arrivals: &Arrivals) -> Result<Registry, kser::Error> {
    let ship = |ctx: Context, ship: Ship| async move {
        let (number, key) = (ship.number, format!("{}", ship.number % KEYS));
        ctx.send_to("port", Some(key), Arrival { number })?;
        Ok::<_, TaskError>(())
    };
    let arrivals = arrivals.clone();
    let arrival = move |arrival: Arrival| {
        arrivals.add(arrival.number);
        async {}
    };
    Registry::new().task(ship).task(arrival).build()
}

async fn send(kser: &Client, count: usize) -> Tested {
    let producer = kser.producer();
    for from in (0..count).step_by(1000) {
        let sends = (from..count.min(from + 1000)).map(|number| {
            let key = format!("{}", number % KEYS);
            producer.send(Ship { number }).with_key(key)
        });
        for sent in producer.send_all(sends).await {
            sent?;
        }
    }
    Ok(())
}

/// In CI with a few tasks and seconds; `KSER_WAITING` and `KSER_FROZEN_SECONDS` make it longer.
async fn many_wait() -> Tested {
    let tasks = usize::try_from(setting("KSER_WAITING", 5000))?;
    let frozen = Duration::from_secs(setting("KSER_FROZEN_SECONDS", 3));
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(1)).await?;
    let url = url_of(&cluster.bootstrap(), "");
    let arrivals = Arrivals::default();
    let registry = registry(&arrivals)?;
    let kser = connect(&url, &registry, 4).await?;
    send(&kser, tasks).await?;
    let consumer = kser.consumer(registry).with_buffer(HELD, 16 << 20).spawn();
    let long = Duration::from_secs(120) + frozen * 4;
    until("some arrive", long, || arrivals.count() > tasks / 20).await?;
    cluster.freeze(1);
    sleep(frozen).await;
    let health = consumer.handle().health();
    // Those that run or wait, and four times as many that are handed in.
    expect(health.held <= HELD * 5, || format!("{health:?}"))?;
    expect(arrivals.distinct() < tasks, || {
        "all arrived before the broker was frozen".to_owned()
    })?;
    cluster.thaw(1);
    until("all arrive", long, || arrivals.distinct() == tasks).await?;
    arrivals.are_in_order()?;
    let again = arrivals.count() - tasks;
    println!("{tasks} tasks, frozen for {frozen:?}: {again} ran again");
    expect(again == 0 || frozen >= PATIENT, || {
        format!("{again} ran again")
    })?;
    Ok(consumer.stop().await?)
}
