//! Encrypted records on real Kafka: their delays and dead letters, and a rotation of their key while two consumers run.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use kser::backend::{Interest, Record, Room, Transport as _};
use kser::client::ClientBuilder;
use kser::encryption::{Encryption, Key, KeyId, KeyRing};
use kser::kafka::KafkaTransport;
use kser::message::Topic;
use kser::{Client, Entrypoint, IntoTask, Registry, RetryPolicy, Status, Step, TaskError};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::common::{Tested, expect, on_kafka, patiently, trials, until, url};

/// Never reached unless something is broken.
const LIMIT: Duration = Duration::from_secs(120);

const SECRET: &str = "a word that no record may show";

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        on_kafka:
        envelopes_go_through_delays_dead_letters_and_replays,
        a_key_is_rotated_while_two_consumers_run,
    ]
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("vault.Open")]
struct Open {
    word: String,
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("vault.Count")]
struct Count {
    n: u32,
}

/// A ring whose first key writes. A key is made of its id.
fn ring(ids: &[&str]) -> KeyRing {
    let id = |id: &str| KeyId::new(id).unwrap();
    let key_of = |name: &str| Key::from_bytes([name.as_bytes()[0]; 32]);
    let (first, others) = ids.split_first().unwrap();
    let ring = KeyRing::new(id(first), key_of(first));
    others.iter().fold(ring, |ring, other| {
        ring.with_reader(id(other), key_of(other)).unwrap()
    })
}

fn builder(url: &str, keys: &[&str]) -> ClientBuilder {
    Client::builder_from_url(url).encryption(Encryption::new(ring(keys)))
}

/// Reads the records of these topics, until none has come for a while.
pub(crate) async fn records(url: &str, topics: &[String]) -> Vec<Record> {
    // The names of the topics have the prefix, which is an option of the client.
    let servers = url.split('?').next().unwrap_or(url);
    let transport = patiently(|| KafkaTransport::connect(servers))
        .await
        .unwrap();
    let names = topics.iter().map(|topic| Topic::new(topic).unwrap());
    let interest = Interest::since(names.collect(), SystemTime::UNIX_EPOCH.into());
    let topics = topics.len();
    let mut observer = patiently(|| transport.subscribe(interest.clone()))
        .await
        .unwrap();
    let mut records: Vec<Record> = Vec::new();
    loop {
        let seen: BTreeSet<&Topic> = records.iter().map(|record| &record.topic).collect();
        // On a busy machine the first records of one topic come long after those of another.
        let pause = match seen.len() == topics {
            true => Duration::from_secs(5),
            false => Duration::from_secs(30),
        };
        let Ok(received) = timeout(pause, observer.receive(Room::records(500))).await else {
            return records;
        };
        for delivery in received.unwrap() {
            // A delay topic also has records that measure the brokers' clock, without a payload.
            if delivery.record.header("kser-clock").is_none() {
                records.push(delivery.record);
            }
            let _ = delivery.ticket.settle(Vec::new()).await;
        }
    }
}

/// Says whether a part of a record contains a text.
pub(crate) fn shows(record: &Record, text: &str) -> bool {
    let headers = record.headers.iter().map(|(_, value)| value);
    let mut parts = headers.chain([&record.payload, &record.key]).flatten();
    parts.any(|part| {
        part.windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

async fn envelopes_go_through_delays_dead_letters_and_replays() -> Tested {
    let url = url("create=2");
    let kser = patiently(|| builder(&url, &["a"]).build()).await?;
    let tries = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&tries);
    let open = move |open: Open| {
        let mut tries = counted.lock().unwrap();
        *tries += 1;
        let fails = *tries <= 2;
        async move {
            match fails {
                true => Err(TaskError::new("Stuck", open.word)),
                false => Ok(open.word),
            }
        }
    };
    let retry = RetryPolicy::exponential(2, Duration::from_secs(1));
    let registry = Registry::new().task(open.with_retry(retry)).build()?;
    // Each retry goes through a delay topic.
    let consumer = kser
        .consumer(registry)
        .with_max_in_memory_delay(Duration::ZERO)
        .spawn();
    let word = || Open {
        word: SECRET.to_owned(),
    };
    let run = kser
        .producer()
        .launch_steps("vault.All", vec![Step::new(word())])
        .await?;
    let state = run.wait_timeout(LIMIT).await?;
    expect(state.status == Status::Failed, || format!("{state:?}"))?;
    let mut letters = kser.dead_letters("vault").await?;
    let letter = timeout(LIMIT, letters.next()).await??;
    let error = letter.error().unwrap_or_default();
    expect(error.contains(SECRET), || error)?;
    letter.replay().await?;
    letters.close().await?;
    let state = run.wait_timeout(LIMIT).await?;
    expect(state.outcome.message() == SECRET, || format!("{state:?}"))?;
    consumer.stop().await?;
    let prefix = prefix_of(&url);
    let topics = ["vault", "vault.delay.1s", "vault.dlt", "kser.events"];
    let records = records(&url, &topics.map(|topic| format!("{prefix}{topic}"))).await;
    let used: BTreeSet<&str> = records.iter().map(|record| record.topic.as_str()).collect();
    expect(used.len() == topics.len(), || format!("{used:?}"))?;
    for record in &records {
        let payload = record.payload.as_deref().unwrap_or_default();
        expect(
            payload.starts_with(br#"{"kser_sealed":2,"key":"a","#),
            || format!("{record:?}"),
        )?;
        expect(!shows(record, "word"), || format!("{record:?}"))?;
    }
    Ok(())
}

pub(crate) fn prefix_of(url: &str) -> &str {
    let (_, behind) = url.split_once("prefix=").unwrap();
    behind.split('&').next().unwrap()
}

/// A process of the rotation: a producer and a consumer with the same keys.
struct Process {
    kser: Client,
    consumer: kser::consumer::RunningConsumer,
}

impl Process {
    async fn start(
        url: &str,
        keys: &[&str],
        done: &Arc<Mutex<BTreeSet<u32>>>,
    ) -> Result<Self, kser::Error> {
        let kser = patiently(|| builder(url, keys).build()).await?;
        let done = Arc::clone(done);
        let count = move |count: Count| {
            let done = Arc::clone(&done);
            async move {
                done.lock().unwrap().insert(count.n);
            }
        };
        let registry = Registry::new().task(count).build()?;
        let consumer = kser.consumer(registry).spawn();
        Ok(Self { kser, consumer })
    }

    /// Returns the number of messages that had to wait for a key, or could not be opened.
    fn refused(&self) -> u64 {
        let health = self
            .consumer
            .handle()
            .health()
            .encryption
            .unwrap_or_default();
        health.refused.values().sum()
    }
}

async fn a_key_is_rotated_while_two_consumers_run() -> Tested {
    let url = url("create=4");
    let done = Arc::default();
    let mut sent = 0;
    let mut refused = 0;
    let mut processes = [
        Process::start(&url, &["old"], &done).await?,
        Process::start(&url, &["old"], &done).await?,
    ];
    // 1: readers get the new key; 2: both have it; 3: the writers switch; 4: the old records are drained; 5: the old key is removed.
    for keys in [&["old", "new"][..], &["new", "old"], &["new"]] {
        for process in &mut processes {
            let started = Process::start(&url, keys, &done).await?;
            let before = std::mem::replace(process, started);
            for _ in 0..50 {
                before.kser.producer().send(Count { n: sent }).await?;
                process.kser.producer().send(Count { n: sent + 1 }).await?;
                sent += 2;
            }
            refused += before.refused();
            before.consumer.stop().await?;
        }
        until("all messages are done", LIMIT, || {
            done.lock().unwrap().len() == sent as usize
        })
        .await?;
    }
    refused += processes.iter().map(Process::refused).sum::<u64>();
    expect(refused == 0, || {
        format!("{refused} messages were not opened at once")
    })?;
    let [process, other] = processes;
    let mut letters = process.kser.dead_letters("vault").await?;
    let list = letters.list(10).await?;
    expect(list.is_empty(), || format!("{list:?}"))?;
    letters.close().await?;
    other.consumer.stop().await?;
    process.consumer.stop().await?;
    Ok(())
}
