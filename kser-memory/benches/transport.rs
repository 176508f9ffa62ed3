//! Records a second through the memory transport, beside a bare tokio channel that moves the same bytes through the
//! same hop in the same run, and the memory that a waiting record takes.
//!
//! `cargo bench -p kser-memory --bench transport`

#![expect(clippy::disallowed_methods, reason = "a program that measures")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use kser_core::{Interest, Record, Room, Topic, Transport};
use kser_memory::MemoryTransport;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

const RECORDS: usize = 1_000_000;
const BATCH: usize = 256;
const PAYLOAD: usize = 300;
const ROUNDS: usize = 3;

/// What a round moves, and how.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    /// How many records one call publishes.
    published: usize,
    /// How many keys there are; 0 for none.
    keys: u64,
}

fn main() {
    let one = Builder::new_current_thread().build();
    let two = Builder::new_multi_thread().worker_threads(2).build();
    let (one, two) = (one.expect("a runtime"), two.expect("a runtime"));
    // First, while nothing that was freed can be used again.
    for keys in [0, RECORDS as u64] {
        waiting(&one, keys);
    }
    let loads = [
        ("256 a call, no key", BATCH, 0),
        ("256 a call, 10,000 keys", BATCH, 10_000),
        ("1 a call, no key", 1, 0),
        ("1 a call, 10,000 keys", 1, 10_000),
    ];
    println!("publish + receive + settle, {PAYLOAD} bytes, best of {ROUNDS}");
    for (name, published, keys) in loads {
        let load = Load {
            name,
            published,
            keys,
        };
        report("1 thread ", &one, load);
        report("2 threads", &two, load);
    }
}

fn report(threads: &str, runtime: &Runtime, load: Load) {
    let mut best = [f64::MIN; 2];
    // By turns, so that what disturbs one disturbs the other.
    for _ in 0..ROUNDS {
        best[0] = best[0].max(per_second(runtime.block_on(transport(load))));
        best[1] = best[1].max(per_second(runtime.block_on(channel(load))));
    }
    let [ours, bare] = best;
    println!(
        "{threads} {:24} {:>6.2} M/s, channel {:>6.2} M/s, {:.2} of it",
        load.name,
        ours / 1e6,
        bare / 1e6,
        ours / bare
    );
}

fn per_second(took: Duration) -> f64 {
    RECORDS as f64 / took.as_secs_f64()
}

fn payload() -> Bytes {
    Bytes::from(vec![7; PAYLOAD])
}

fn record(topic: &Topic, number: usize, keys: u64) -> Record {
    let record = Record::new(topic.clone(), Some(payload()));
    match keys {
        0 => record,
        keys => record.with_key(Bytes::copy_from_slice(
            format!("{:036}", number as u64 % keys).as_bytes(),
        )),
    }
}

/// A producer and a consumer, no more than a few batches apart.
async fn transport(load: Load) -> Duration {
    let transport = MemoryTransport::new();
    let topic = Topic::new("bench").expect("a name");
    let interest = Interest::group("bench", vec![topic.clone()]);
    let mut member = transport.subscribe(interest).await.expect("a member");
    let start = Instant::now();
    let (free, mut taken) = mpsc::channel::<()>(16);
    let producer = tokio::spawn(async move {
        let mut published = 0;
        while published < RECORDS {
            for _ in 0..BATCH / load.published {
                let batch = published..RECORDS.min(published + load.published);
                let batch = batch.map(|number| record(&topic, number, load.keys));
                let batch: Vec<Record> = batch.collect();
                published += batch.len();
                transport.publish(batch).await.expect("published");
            }
            // The channel of the other side is bounded too.
            free.send(()).await.expect("the consumer lives");
        }
    });
    let mut settled = 0;
    while settled < RECORDS {
        for delivery in member.receive(Room::records(BATCH)).await.expect("a batch") {
            let done = delivery.ticket.settle(Vec::new()).await;
            assert!(!done.expect("settled").is_lost());
            settled += 1;
            if settled % BATCH == 0 {
                taken.recv().await;
            }
        }
    }
    let took = start.elapsed();
    producer.await.expect("the producer ends");
    took
}

async fn channel(load: Load) -> Duration {
    let topic = Topic::new("bench").expect("a name");
    let start = Instant::now();
    let (sender, mut receiver) = mpsc::channel(16 * BATCH);
    let producer = tokio::spawn(async move {
        for number in 0..RECORDS {
            let sent = sender.send(record(&topic, number, load.keys)).await;
            sent.expect("the consumer lives");
        }
    });
    let mut received = 0;
    let mut batch = Vec::with_capacity(BATCH);
    while received < RECORDS {
        received += receiver.recv_many(&mut batch, BATCH).await;
        batch.clear();
    }
    let took = start.elapsed();
    producer.await.expect("the producer ends");
    took
}

/// Prints what a record takes while it waits, beyond the bytes of its payload and key.
fn waiting(runtime: &Runtime, keys: u64) {
    let transport = MemoryTransport::new();
    let topic = Topic::new("bench").expect("a name");
    // In one piece, so that the payloads themselves take nothing.
    let payloads = Bytes::from(vec![7; PAYLOAD]);
    let before = resident();
    runtime.block_on(async {
        for number in 0..RECORDS {
            let payload = Some(payloads.clone());
            let mut waiting = Record::new(topic.clone(), payload);
            waiting.key = record(&topic, number, keys).key;
            transport.publish(vec![waiting]).await.expect("published");
        }
    });
    let bytes = resident().saturating_sub(before) / RECORDS;
    let key = if keys == 0 { "no key" } else { "a key each" };
    println!("{RECORDS} waiting, {key}: {bytes} bytes a record beyond its payload");
    drop(transport);
}

/// Bytes of this process in memory (Linux).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).expect("two numbers");
    pages.parse::<usize>().expect("a number") * 4096
}
