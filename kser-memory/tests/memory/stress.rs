//! Members on several threads at once, in real time.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kser_core::{
    Delivery, HandInReports, Interest, Record, Room, Settled, Subscription, Told, Topic, Transport,
};
use kser_memory::MemoryTransport;
use tokio::task::JoinSet;

const MEMBERS: usize = 8;
const PRODUCERS: u32 = 4;
const EACH: u32 = 2_500;
const ALL: usize = (PRODUCERS * EACH) as usize;

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

fn number(delivery: &Delivery) -> u32 {
    let payload = delivery.record.payload.as_deref().unwrap();
    u32::from_be_bytes(payload.try_into().unwrap())
}

fn record(to: &str, number: u32) -> Record {
    Record::new(
        topic(to),
        Some(Bytes::copy_from_slice(&number.to_be_bytes())),
    )
}

async fn member(transport: &MemoryTransport, of: &str) -> Box<dyn Subscription> {
    let interest = Interest::group("stress", vec![topic(of)]);
    transport.subscribe(interest).await.unwrap()
}

/// Runs until all end; what takes a minute hangs.
async fn finish(mut tasks: JoinSet<()>) {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(240), all).await;
    ended.expect("nobody waits for ever");
}

/// Counts the results of deliveries that were handed in.
#[derive(Debug, Clone, Default)]
struct Counts {
    settled: Arc<AtomicUsize>,
    lost: Arc<AtomicUsize>,
}

impl Counts {
    fn count(&self, settled: &Settled) {
        assert!(!settled.is_released());
        let counter = match settled.is_lost() {
            true => &self.lost,
            false => &self.settled,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

impl HandInReports for Counts {
    fn report(&self, told: Told) {
        self.count(&told.result.expect("no output is too large"));
    }
}

/// What the members see of all records.
#[derive(Default)]
struct Seen {
    held: Vec<AtomicBool>,
    settled: AtomicUsize,
    by_key: Mutex<BTreeMap<Bytes, Vec<u32>>>,
}

async fn work(transport: MemoryTransport, seen: Arc<Seen>, room: usize) {
    let mut member = member(&transport, "work").await;
    let mut turn = 0;
    while seen.settled.load(Ordering::SeqCst) < ALL {
        // A member that gives up waiting loses nothing.
        let wait = Duration::from_millis(5);
        let receive = member.receive(Room::records(room));
        let Ok(received) = tokio::time::timeout(wait, receive).await else {
            continue;
        };
        for delivery in received.unwrap() {
            turn += 1;
            let number = number(&delivery);
            let held = &seen.held[number as usize];
            assert!(!held.swap(true, Ordering::SeqCst), "{number} is with two");
            if turn % 13 == 0 {
                held.store(false, Ordering::SeqCst);
                let _ = delivery.ticket.release(None);
                continue;
            }
            if let Some(key) = &delivery.record.key {
                let mut by_key = seen.by_key.lock().unwrap();
                by_key.entry(key.clone()).or_default().push(number);
            }
            let settled = delivery.ticket.settle(Vec::new()).await.unwrap();
            assert!(!settled.is_lost());
            seen.settled.fetch_add(1, Ordering::SeqCst);
        }
    }
    member.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_members_share_all_records_and_keys_keep_their_order() {
    let transport = MemoryTransport::new();
    let seen = Arc::new(Seen {
        held: (0..ALL).map(|_| AtomicBool::new(false)).collect(),
        ..Seen::default()
    });
    let mut tasks = JoinSet::new();
    for producer in 0..PRODUCERS {
        let transport = transport.clone();
        tasks.spawn(async move {
            for turn in 0..EACH {
                let mut record = record("work", producer * EACH + turn);
                // A key has one producer, so that its order is known. A quarter has none.
                if turn % 4 != 0 {
                    record = record.with_key(format!("{producer}-{}", turn % 7));
                }
                transport.publish(vec![record]).await.unwrap();
                if turn % 64 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    for room in 1..=MEMBERS {
        tasks.spawn(work(transport.clone(), Arc::clone(&seen), room));
    }
    finish(tasks).await;
    assert_eq!(seen.settled.load(Ordering::SeqCst), ALL);
    let by_key = seen.by_key.lock().unwrap();
    assert_eq!(by_key.len(), 7 * PRODUCERS as usize);
    for (key, numbers) in &*by_key {
        assert!(numbers.is_sorted(), "{key:?} is out of order");
    }
}

/// Settles on tasks of its own while its subscriptions are dropped under them: awaited, or handed in.
async fn crash_and_settle(transport: MemoryTransport, counts: Counts) {
    let reports: Arc<dyn HandInReports> = Arc::new(counts.clone());
    while counts.settled.load(Ordering::SeqCst) < ALL {
        let mut member = member(&transport, "inputs").await;
        let receive = member.receive(Room::records(50));
        let Ok(received) = tokio::time::timeout(Duration::from_millis(5), receive).await else {
            continue;
        };
        let mut tasks = JoinSet::new();
        for delivery in received.unwrap() {
            let (counts, reports) = (counts.clone(), Arc::clone(&reports));
            tasks.spawn(async move {
                let number = number(&delivery);
                let outputs = vec![record("left", number), record("right", number)];
                match number % 2 {
                    0 => counts.count(&delivery.ticket.settle(outputs).await.unwrap()),
                    _ => drop(delivery.ticket.hand_in(outputs, 0, &reports).unwrap()),
                }
            });
        }
        // In the middle of it, so that some are before and some after.
        tasks.join_next().await.unwrap().unwrap();
        drop(member);
        finish(tasks).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_settle_that_races_a_crash_publishes_all_and_settles_or_neither() {
    let transport = MemoryTransport::new();
    let inputs = (0..ALL as u32).map(|number| record("inputs", number));
    transport.publish(inputs.collect()).await.unwrap();
    let counts = Counts::default();
    let mut tasks = JoinSet::new();
    for _ in 0..MEMBERS {
        tasks.spawn(crash_and_settle(transport.clone(), counts.clone()));
    }
    finish(tasks).await;
    let lost = counts.lost.load(Ordering::SeqCst);
    assert!(lost > 0, "no settle met a crash");
    for side in ["left", "right"] {
        let mut member = member(&transport, side).await;
        assert_eq!(member.health().lag, Some(ALL as u64), "{side}");
        let mut numbers = Vec::new();
        while numbers.len() < ALL {
            for delivery in member.receive(Room::records(1_000)).await.unwrap() {
                numbers.push(number(&delivery));
                let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
            }
        }
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..ALL as u32), "{side}");
    }
}
