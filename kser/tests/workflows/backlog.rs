//! Records that wait in a long queue are not published a second time, and a record that was lost is.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{self, Note, note};
use crate::faulty::{Deaf, Fault, Faulty};
use kser::backend::store::OUTPUT_PATIENCE;
use kser::backend::{Interest, Room, Transport as _};
use kser::client::Routes;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::Topic;
use kser::{Client, Registry, Run, Status, Step};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const STEPS: usize = 3;

/// The records and writes of one backlog, whose operations have three steps of one second each.
#[derive(Debug)]
struct Made {
    /// One record for each run, whose steps begin in a row.
    needed: usize,
    records: usize,
    events: usize,
    /// Writes of the store after the launches, beside the one that each run needs and the one that each step needs.
    sweeps: usize,
    /// The longest time that a record waited in the queue.
    waited: Duration,
}

/// A client whose store counts what is written to it.
async fn counted() -> (Faulty, Deaf, Client) {
    counted_with(Routes::new()).await
}

async fn counted_with(routes: Routes) -> (Faulty, Deaf, Client) {
    let transport = Faulty::new(MemoryTransport::new());
    let clock = transport.clock();
    let store = Deaf::new(MemoryStore::with_clock(clock).with_finished_kept(10_000));
    let kser = Client::builder(transport.clone()).store(store.clone());
    let kser = kser.clock(clock).routes(routes).build().await;
    (transport, store, kser.unwrap())
}

/// A task that takes a second.
fn seconds() -> Registry {
    let task = |_: Note| async { sleep(SECOND).await };
    Registry::new().task(task).build().unwrap()
}

/// Counts the records of a topic from now on.
async fn count(transport: &Faulty, topic: &str) -> Arc<AtomicUsize> {
    let topic = Topic::new(topic).unwrap();
    let seen = transport.subscribe(Interest::everything(vec![topic])).await;
    let (mut seen, count) = (seen.unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok(deliveries) = seen.receive(Room::records(10_000)).await {
            counted.fetch_add(deliveries.len(), Ordering::SeqCst);
            for delivery in deliveries {
                let _ = delivery.ticket.settle(Vec::new()).await;
            }
        }
    });
    count
}

async fn launch(kser: &Client, name: String) -> Run {
    let steps = (0..STEPS).map(|_| Step::new(note("a"))).collect();
    kser.producer().launch_steps(name, steps).await.unwrap()
}

/// Launches the operations, runs all of them with this concurrency, and counts their records and writes.
async fn work_off(runs: usize, concurrency: usize) -> Made {
    let (transport, store, kser) = counted().await;
    kser.ensure_topics(&seconds(), None).await.unwrap();
    let (records, events) = (
        count(&transport, "test").await,
        count(&transport, "kser.events").await,
    );
    let mut last = None;
    for number in 0..runs {
        last = Some(launch(&kser, format!("test.Job{}", number % 7)).await);
    }
    let launched = store.writes();
    let consumer = kser.consumer(seconds()).with_concurrency(concurrency);
    let consumer = consumer.spawn();
    let rounds = u64::try_from(runs * STEPS / concurrency).unwrap();
    let last = last.unwrap();
    let state = last.wait_timeout(SECOND * 2 * u32::try_from(rounds + 600).unwrap());
    assert_eq!(state.await.unwrap().status, Status::Success);
    sleep(SECOND * 300).await;
    let made = Made {
        needed: runs,
        records: records.load(Ordering::SeqCst),
        events: events.load(Ordering::SeqCst),
        sweeps: store.writes() - launched - runs * (STEPS + 1),
        waited: SECOND * u32::try_from(runs / concurrency).unwrap(),
    };
    consumer.stop().await.unwrap();
    // RUNNING and SUCCESS of each.
    assert_eq!(made.events, 2 * runs, "{made:?}");
    assert!(made.records <= made.needed + made.needed / 100, "{made:?}");
    assert!(made.sweeps <= runs * (STEPS + 1) / 20, "{made:?}");
    made
}

/// Each record waits three minutes in the queue: it is published once, and sweeps hardly write.
#[tokio::test(start_paused = true)]
async fn a_record_that_merely_waits_is_published_once() {
    let made = work_off(10_000, 55).await;
    assert!(made.waited >= SECOND * 180, "{made:?}");
}

/// The same with a million operations. `CONTRIBUTING.md` has the command.
#[tokio::test(start_paused = true)]
#[ignore = "a million operations need a release build"]
async fn a_million_records_that_wait_are_published_once() {
    let made = work_off(1_000_000, 1_000).await;
    println!("{made:?}");
}

/// The other half: a sweep that never publishes would pass the test above.
#[tokio::test(start_paused = true)]
async fn a_lost_publication_is_repaired_within_two_patience_periods() {
    let (transport, _, kser) = counted().await;
    let consumer = kser.consumer(seconds()).spawn();
    sleep(SECOND).await;
    transport.fail(Fault::Silence);
    let steps = vec![Step::new(note("a"))];
    let lost = kser
        .producer()
        .launch_steps("test.Job", steps)
        .with_id("lost");
    let lost = lost.await.unwrap_err();
    assert!(lost.is_temporary(), "{lost:?}");
    transport.heal();
    let began = Instant::now();
    let state = kser.runs().wait(&"lost".into()).await.unwrap();
    assert_eq!(state.status, Status::Success);
    let took = began.elapsed();
    assert!(took <= 2 * Duration::from_secs(60), "{took:?}");
    consumer.stop().await.unwrap();
}

/// A topic with a long queue, or a task that runs for hours, holds up the repair in no other topic.
#[tokio::test(start_paused = true)]
async fn a_backlog_of_one_topic_does_not_hold_up_the_repair_in_another() {
    let routes = Routes::new().with_topic("test.Doomed", "slow");
    let (transport, _, kser) = counted_with(routes.unwrap()).await;
    let slow = |_: common::Doomed| async { sleep(3600 * SECOND).await };
    let slow = Registry::new().task(slow);
    let registry = slow.task(|_: Note| async {}).build().unwrap();
    let consumer = kser.consumer(registry).with_concurrency(2).spawn();
    for _ in 0..20 {
        let steps = vec![Step::new(common::Doomed {})];
        let launched = kser.producer().launch_steps("slow.Job", steps).await;
        launched.unwrap();
    }
    sleep(600 * SECOND).await;
    transport.fail(Fault::Silence);
    let steps = vec![Step::new(note("a"))];
    let lost = kser
        .producer()
        .launch_steps("test.Job", steps)
        .with_id("lost");
    lost.await.unwrap_err();
    transport.heal();
    let published = count(&transport, "test").await;
    sleep(2 * Duration::from_secs(60)).await;
    assert_eq!(published.load(Ordering::SeqCst), 1);
    consumer.kill();
}

/// The consumer reads the store when something is due, not every ten seconds.
#[tokio::test(start_paused = true)]
async fn an_idle_day_asks_the_store_for_nothing() {
    let (_, store, kser) = counted().await;
    let consumer = kser.consumer(seconds()).spawn();
    sleep(2 * OUTPUT_PATIENCE).await;
    let before = store.sweeps();
    sleep(24 * 3600 * SECOND).await;
    let sweeps = store.sweeps() - before;
    assert!(sweeps <= 1, "{sweeps} in a day");
    // A run that is launched now wakes the sweep, and ends.
    let run = launch(&kser, "test.Job".to_owned()).await;
    let state = run.wait_timeout(60 * SECOND).await.unwrap();
    assert_eq!(state.status, Status::Success);
    consumer.stop().await.unwrap();
}
