//! Encrypted workflows: each record that leaves a client is an envelope, and faulty envelopes become dead letters with their bytes.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kser::backend::{Interest, Record, Room, StateStore as _, Transport, async_trait};
use kser::client::{ClientBuilder, Limits, Mode};
use kser::encryption::{Encryption, Key, KeyError, KeyId, KeyProvider, KeyRing};
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::Topic;
use kser::{Client, Context, Error, IntoTask, Registry, RetryPolicy, Status, Step, TaskError};
use tokio::time::sleep;

use crate::common::{Diary, Doomed, Note, builder, note, noting, told};

const SECRET: &str = "a word that no record may show";

fn id(id: &str) -> KeyId {
    KeyId::new(id).unwrap()
}

/// A ring whose first key writes. A key is made of its id.
fn ring(ids: &[&str]) -> KeyRing {
    let key_of = |name: &str| Key::from_bytes([name.as_bytes()[0]; 32]);
    let (first, others) = ids.split_first().unwrap();
    let ring = KeyRing::new(id(first), key_of(first));
    others.iter().fold(ring, |ring, other| {
        ring.with_reader(id(other), key_of(other)).unwrap()
    })
}

fn encrypted(transport: &MemoryTransport, mode: Mode) -> ClientBuilder {
    let encryption = Encryption::new(ring(&["new", "old"]));
    builder(transport.clone(), mode).encryption(encryption)
}

/// Keeps a copy of each record of these topics from now on.
async fn tap(transport: &MemoryTransport, topics: &[&str]) -> Arc<Mutex<Vec<Record>>> {
    let topics = topics.iter().map(|topic| Topic::new(topic).unwrap());
    let interest = Interest::everything(topics.collect());
    let mut all = transport.subscribe(interest).await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let copy = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok(received) = all.receive(Room::records(100)).await {
            for delivery in received {
                copy.lock().unwrap().push(delivery.record);
                let _ = delivery.ticket.settle(Vec::new()).await;
            }
        }
    });
    seen
}

/// Returns the records that have arrived by now.
async fn taken(tapped: &Arc<Mutex<Vec<Record>>>) -> Vec<Record> {
    sleep(Duration::from_secs(1)).await;
    tapped.lock().unwrap().clone()
}

/// Says whether a part of a record contains a text.
fn shows(record: &Record, text: &str) -> bool {
    let has = |part: &Option<Bytes>| {
        let part = part.as_deref().unwrap_or_default();
        part.windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    has(&record.payload) || has(&record.key) || record.headers.iter().any(|(_, value)| has(value))
}

/// Fails while its diary has fewer entries than this.
fn failing(diary: &Diary, failures: usize) -> Registry {
    let diary = diary.clone();
    let doomed = move |_: Doomed| {
        diary.note("tried");
        let fails = diary.read().len() <= failures;
        async move {
            match fails {
                true => Err(TaskError::new("Doomed", SECRET)),
                false => Ok(SECRET),
            }
        }
    };
    // Longer than a consumer keeps a record in its hands.
    let retry = RetryPolicy::exponential(2, Duration::from_secs(60));
    let notes = |note: Note| async move { note.text };
    let sends = |ctx: Context, _: Send| async move { ctx.send(note(SECRET)).map(drop) };
    Registry::new()
        .task(doomed.with_retry(retry))
        .task(notes)
        .task(sends)
        .build()
        .unwrap()
}

#[derive(serde::Serialize, serde::Deserialize, kser::Entrypoint)]
#[entrypoint("test.Send")]
struct Send {}

#[tokio::test(start_paused = true)]
async fn every_record_of_a_run_is_an_envelope() -> Result<(), Error> {
    for mode in [Mode::Stored, Mode::AtLeastOnce] {
        let transport = MemoryTransport::new();
        let tapped = tap(&transport, &["test", "test.dlt", "kser.events"]).await;
        let kser = encrypted(&transport, mode).build().await?;
        let diary = Diary::default();
        // Two attempts before the dead letter, and one after its replay.
        let consumer = kser.consumer(failing(&diary, 2)).spawn();
        let steps = vec![
            Step::new(note(SECRET)),
            Step::new(Send {}),
            Step::new(Doomed {}),
        ];
        let launch = kser
            .producer()
            .launch_steps("test.All", steps)
            .with_id("run-1");
        let run = launch.with_metadata("secret", SECRET).await?;
        let state = run.wait().await?;
        assert_eq!(
            (state.status, state.outcome.error_message()),
            (Status::Failed, SECRET)
        );

        let mut letters = kser.dead_letters("test").await?;
        let letter = letters.next().await?;
        assert!(letter.error().unwrap().contains(SECRET));
        assert_eq!(letter.message()?.entrypoint.as_str(), "test.Doomed");
        let labels = (letter.entrypoint(), letter.run(), letter.code());
        assert_eq!(labels, (None, None, None), "they are readable");
        letter.replay().await?;
        letters.close().await?;
        let outcome = run.result().await?;
        assert_eq!(outcome.message(), SECRET);

        let records = taken(&tapped).await;
        let of = |topic: &str| {
            let records = records.iter();
            records
                .filter(|record| record.topic.as_str() == topic)
                .count()
        };
        // Three steps, the message that one of them sends, and the third again after a minute and after its replay.
        assert!(of("test") >= 5, "{records:#?}");
        assert_eq!(of("test.dlt"), 1);
        assert!(of("kser.events") >= 3);
        for record in &records {
            let payload = record.payload.as_ref().unwrap();
            assert!(payload.starts_with(br#"{"kser_sealed":2,"key":"new","topic":""#));
            assert!(
                !shows(record, "secret") && !shows(record, "word"),
                "{record:?}"
            );
        }
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_client_without_the_key_sees_no_text() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let kser = encrypted(&transport, Mode::AtLeastOnce).build().await?;
    let consumer = kser.consumer(failing(&Diary::default(), 9)).spawn();
    kser.producer().send(Doomed {}).await?;
    sleep(Duration::from_secs(300)).await;
    consumer.stop().await?;
    let other = Encryption::new(ring(&["other"]));
    let other = builder(transport.clone(), Mode::AtLeastOnce).encryption(other);
    for (client, expected) in [
        (
            other.build().await?,
            "opening an encrypted message failed: the key new is missing",
        ),
        (
            builder(transport, Mode::AtLeastOnce).build().await?,
            "kser_sealed",
        ),
    ] {
        let mut letters = client.dead_letters("test").await?;
        let letter = letters.next().await?;
        let error = letter.error().unwrap();
        assert!(
            error.contains(expected) && !error.contains(SECRET),
            "{error}"
        );
        assert!(letter.message().is_err());
        letters.close().await?;
    }
    Ok(())
}

/// Faulty payloads for topic `test`, and the reason why each is refused.
async fn faulty() -> Vec<(Bytes, &'static str)> {
    let transport = MemoryTransport::new();
    let tapped = tap(&transport, &["test", "other"]).await;
    let kser = encrypted(&transport, Mode::AtLeastOnce)
        .build()
        .await
        .unwrap();
    kser.producer().send(note("a")).await.unwrap();
    kser.producer()
        .send(note("b"))
        .with_topic("other")
        .await
        .unwrap();
    let records = taken(&tapped).await;
    let of = |topic: &str| {
        let record = records.iter().find(|record| record.topic.as_str() == topic);
        record.unwrap().payload.clone().unwrap()
    };
    let (good, swapped) = (of("test"), of("other"));
    let text = std::str::from_utf8(&good).unwrap();
    let middle = good.len() - 40;
    let mut changed = good.to_vec();
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    let replaced = text.replace(r#""key":"new""#, r#""key":"old""#);
    vec![
        (changed.into(), "the text was changed"),
        (replaced.into(), "the text was changed"),
        (good.slice(..good.len() - 10), "cut, or not JSON"),
        (swapped, "written for topic other, and was found in test"),
        (
            Bytes::from_static(
                br#"{"uuid": "u", "entrypoint": "test.Note", "params": {"text": "c"}}"#,
            ),
            "not encrypted",
        ),
        (
            Bytes::from_static(br#"{"data": "AAAA", "nonce": "AAAA"}"#),
            "24 bytes",
        ),
        (Bytes::from_static(b"\xff"), "not encrypted"),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_faulty_envelope_is_a_dead_letter_with_its_bytes() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let kser = encrypted(&transport, Mode::AtLeastOnce).build().await?;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    let mut letters = kser.dead_letters("test").await?;
    let faulty = faulty().await;
    for (payload, reason) in &faulty {
        let began = tokio::time::Instant::now();
        kser.producer().send_bytes("test", payload.clone()).await?;
        let letter = letters.next().await?;
        assert!(began.elapsed() < Duration::from_secs(60), "{reason}");
        assert_eq!(letter.record().payload.as_ref(), Some(payload));
        let error = letter.error().unwrap();
        assert!(
            error.starts_with("opening an encrypted message failed: "),
            "{error}"
        );
        assert!(error.contains(reason), "{error}");
        letter.discard().await?;
    }
    letters.close().await?;
    // The consumer goes on.
    kser.producer().send(note("good")).await?;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(diary.read(), ["good"]);
    let health = consumer.handle().health().encryption.unwrap();
    assert_eq!(health.writing.as_deref(), Some("new"));
    assert_eq!(health.reading, ["new", "old"]);
    assert_eq!(health.opened["new"].payloads, 1);
    let refused: Vec<_> = health.refused.into_iter().collect();
    let expected = [
        ("changed", 2),
        ("malformed", 2),
        ("other_topic", 1),
        ("plain", 2),
    ];
    assert_eq!(refused, expected);
    consumer.stop().await
}

/// The same bytes again are a redelivery: a stored run takes them for one.
#[tokio::test(start_paused = true)]
async fn a_replayed_envelope_runs_no_stored_step_twice() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let tapped = tap(&transport, &["test"]).await;
    let kser = encrypted(&transport, Mode::Stored).build().await?;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    let steps = vec![Step::new(note("a")), Step::new(note("b"))];
    kser.producer()
        .launch_steps("test.All", steps)
        .await?
        .result()
        .await?;
    let steps = taken(&tapped).await;
    assert_eq!(steps.len(), 1, "the steps began in a row");
    for step in steps {
        kser.producer()
            .send_bytes("test", step.payload.unwrap())
            .await?;
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(diary.read(), ["a", "b"]);
    consumer.stop().await
}

/// Keys that change while a program runs.
#[derive(Debug, Clone)]
struct Vault(Arc<Mutex<Option<KeyRing>>>);

impl Vault {
    fn of(ids: &[&str]) -> Self {
        Self(Arc::new(Mutex::new(Some(ring(ids)))))
    }

    fn set(&self, ids: &[&str]) {
        *self.0.lock().unwrap() = Some(ring(ids));
    }

    fn break_down(&self) {
        *self.0.lock().unwrap() = None;
    }
}

#[async_trait]
impl KeyProvider for Vault {
    async fn load(&self) -> Result<KeyRing, KeyError> {
        let ring = self.0.lock().unwrap().clone();
        ring.ok_or_else(|| KeyError::NotLoaded {
            from: "the vault".to_owned(),
            source: "it is sealed".into(),
        })
    }
}

async fn with_vault(transport: &MemoryTransport, vault: &Vault) -> Result<Client, Error> {
    let encryption = Encryption::with_provider(vault.clone());
    let client = builder(transport.clone(), Mode::AtLeastOnce).encryption(encryption);
    client.build().await
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_its_key() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let vault = Vault::of(&["old"]);
    let reader = with_vault(&transport, &vault).await?;
    let writer = encrypted(&transport, Mode::AtLeastOnce).build().await?;
    let diary = Diary::default();
    let consumer = reader.consumer(noting(&diary)).spawn();
    writer.producer().send(note("early")).await?;
    sleep(Duration::from_secs(120)).await;
    assert!(diary.read().is_empty());
    let health = consumer.handle().health().encryption.unwrap();
    assert!(health.refused["missing_key"] >= 1);
    vault.set(&["old", "new"]);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(diary.read(), ["early"]);
    let mut letters = reader.dead_letters("test").await?;
    assert!(letters.list(1).await?.is_empty());
    letters.close().await?;
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_key_never_comes_is_a_dead_letter_after_ten_minutes() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let tapped = tap(&transport, &["test"]).await;
    let reader = with_vault(&transport, &Vault::of(&["old"])).await?;
    let writer = encrypted(&transport, Mode::AtLeastOnce).build().await?;
    let consumer = reader.consumer(noting(&Diary::default())).spawn();
    let began = tokio::time::Instant::now();
    writer.producer().send(note("lost")).await?;
    let mut letters = reader.dead_letters("test").await?;
    let letter = letters.next().await?;
    assert!(
        (600..700).contains(&began.elapsed().as_secs()),
        "{:?}",
        began.elapsed()
    );
    let error = letter.error().unwrap();
    assert_eq!(
        error,
        "opening an encrypted message failed: the key new is missing"
    );
    assert_eq!(letter.record().payload, taken(&tapped).await[0].payload);
    letters.close().await?;
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn keys_that_cannot_be_loaded_stay_as_they_were() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let vault = Vault::of(&["old"]);
    let kser = with_vault(&transport, &vault).await?;
    vault.break_down();
    let error = with_vault(&transport, &vault).await.unwrap_err();
    assert!(error.is_temporary());
    assert!(told(&error).ends_with("loading the keys from the vault failed: it is sealed"));
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    sleep(Duration::from_secs(600)).await;
    kser.producer().send(note("still")).await?;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(diary.read(), ["still"]);
    // A producer that is idle learns of a new key, too.
    vault.set(&["new", "old"]);
    let tapped = tap(&transport, &["test"]).await;
    sleep(Duration::from_secs(61)).await;
    kser.producer().send(note("now")).await?;
    let payload = taken(&tapped).await[0].payload.clone().unwrap();
    assert!(payload.starts_with(br#"{"kser_sealed":2,"key":"new""#));
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_migration_goes_from_plain_messages_to_encrypted_ones() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let plain = builder(transport.clone(), Mode::AtLeastOnce)
        .build()
        .await?;
    let policy = |encryption: Encryption| {
        builder(transport.clone(), Mode::AtLeastOnce).encryption(encryption)
    };
    let prepared = policy(Encryption::new(ring(&["new"])).write_plain())
        .build()
        .await?;
    let migrating = policy(Encryption::new(ring(&["new"])).allow_plain())
        .build()
        .await?;
    let python = policy(Encryption::new(ring(&["new"])).write_v1())
        .build()
        .await?;
    let strict = policy(Encryption::new(ring(&["new"]))).build().await?;
    let tapped = tap(&transport, &["test"]).await;
    let writers = [&plain, &prepared, &migrating, &python, &strict];
    for (index, writer) in writers.into_iter().enumerate() {
        writer.producer().send(note(&index.to_string())).await?;
    }
    let begins: Vec<String> = taken(&tapped)
        .await
        .iter()
        .map(|record| String::from_utf8_lossy(&record.payload.as_ref().unwrap()[..8]).into_owned())
        .collect();
    assert_eq!(
        begins,
        [
            "{\"uuid\":",
            "{\"uuid\":",
            "{\"kser_s",
            "{\"data\":",
            "{\"kser_s"
        ]
    );
    for (reader, expected) in [
        (&prepared, vec!["0", "1", "2", "3", "4"]),
        (&migrating, vec!["0", "1", "2", "3", "4"]),
        (&python, vec!["2", "3", "4"]),
        (&strict, vec!["2", "3", "4"]),
    ] {
        let diary = Diary::default();
        let consumer = reader.consumer(noting(&diary)).spawn();
        sleep(Duration::from_secs(5)).await;
        let mut notes = diary.read();
        notes.sort();
        assert_eq!(notes, expected);
        consumer.stop().await?;
        for (index, writer) in writers.into_iter().enumerate() {
            writer.producer().send(note(&index.to_string())).await?;
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_message_holds_for_its_envelope() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let limits = |message| {
        let mut limits = Limits::default();
        limits.message = message;
        limits
    };
    let text = "x".repeat(900);
    let plain = builder(transport.clone(), Mode::AtLeastOnce)
        .limits(limits(1200))
        .build()
        .await?;
    plain.producer().send(note(&text)).await?;
    let encryption = || Encryption::new(ring(&["new"]));
    for encryption in [encryption(), encryption().write_v1()] {
        let client = builder(transport.clone(), Mode::AtLeastOnce).limits(limits(1200));
        let kser = client.encryption(encryption).build().await?;
        let error = kser.producer().send(note(&text)).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { size, limit: 1200, .. } if size > 1200));
        let launched = kser
            .producer()
            .launch(crate::common::Game {
                notes: vec![text.clone()],
            })
            .await;
        assert!(matches!(launched, Err(Error::TooLarge { limit: 1200, .. })));
    }
    let client = builder(transport, Mode::AtLeastOnce).limits(limits(1200));
    let kser = client.encryption(encryption().compress()).build().await?;
    kser.producer().send(note(&text)).await?;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(diary.read(), [text]);
    consumer.stop().await
}

/// A step whose message fits and whose envelope does not ends its run before anything of it is written that could not be published.
#[tokio::test(start_paused = true)]
async fn a_stored_run_fails_at_a_step_whose_envelope_is_too_large() -> Result<(), Error> {
    for (size, status) in [(1500, Status::Failed), (600, Status::Success)] {
        let transport = MemoryTransport::new();
        let mut limits = Limits::default();
        limits.message = 2000;
        let encryption = Encryption::new(ring(&["new"]));
        let client = encrypted(&transport, Mode::Stored).limits(limits);
        let kser = client.encryption(encryption).build().await?;
        let diary = Diary::default();
        let consumer = kser.consumer(noting(&diary)).spawn();
        // The message of the second step has the outcome of the first one: its own text again.
        let text = "x".repeat(size / 2);
        let steps = vec![Step::new(note(&text)), Step::new(note(&text))];
        let run = kser.producer().launch_steps("test.All", steps).await?;
        let state = run.wait_timeout(Duration::from_secs(60)).await?;
        assert_eq!(state.status, status, "{size}: {state:?}");
        consumer.stop().await?;
    }
    Ok(())
}

/// The outcome fits into the message of the next step, and not into its envelope: the run must not be written first.
#[tokio::test(start_paused = true)]
async fn a_skip_whose_envelope_is_too_large_is_refused_unwritten() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let mut limits = Limits::default();
    limits.message = 2000;
    let client = encrypted(&transport, Mode::Stored).limits(limits);
    let kser = client.build().await?;
    let fails = |_: Note| async { Err::<(), _>(TaskError::permanent("X", "x")) };
    let consumer = kser.consumer(Registry::new().task(fails).build()?).spawn();
    let steps = vec![Step::new(note("a")).with_id("s1"), Step::new(note("b"))];
    let run = kser.producer().launch_steps("test.Two", steps).await?;
    run.wait().await?;
    let large = kser::Outcome::text("x".repeat(1200));
    let refused = run.skip_step(&"s1".into(), large).await;
    assert!(
        matches!(refused, Err(Error::TooLarge { size, .. }) if size > 2000),
        "{refused:?}"
    );
    let state = run.status().await?;
    assert_eq!((state.status, state.position), (Status::Failed, 1));
    run.skip_step(&"s1".into(), kser::Outcome::text("x".repeat(300)))
        .await?;
    consumer.stop().await
}

/// A consumer that lacks a key loads the keys for a message, and does not wait until they are loaded anyway.
#[tokio::test(start_paused = true)]
async fn a_missing_key_is_loaded_at_once() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let vault = Vault::of(&["old"]);
    let encryption = Encryption::with_provider(vault.clone()).cached(Duration::from_secs(3600));
    let reader = builder(transport.clone(), Mode::AtLeastOnce).encryption(encryption);
    let reader = reader.build().await?;
    let writer = encrypted(&transport, Mode::AtLeastOnce).build().await?;
    let diary = Diary::default();
    let consumer = reader.consumer(noting(&diary)).spawn();
    sleep(Duration::from_secs(10)).await;
    vault.set(&["old", "new"]);
    for text in ["a", "b", "c"] {
        writer.producer().send(note(text)).await?;
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(diary.read().len(), 3);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn record_keys_are_hashed_by_choice() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let tapped = tap(&transport, &["test", "kser.events"]).await;
    let encryption = Encryption::new(ring(&["new"])).hash_keys(Key::from_bytes([7; 32]));
    let client = builder(transport.clone(), Mode::Stored).encryption(encryption);
    let kser = client.build().await?;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    for text in ["a", "b"] {
        kser.producer()
            .send(note(text))
            .with_key("customer-7")
            .await?;
    }
    let launch = kser.producer().launch_steps(
        "test.All",
        vec![Step::new(note("c")).with_key("customer-7")],
    );
    launch.with_id("customer-8").await?.result().await?;
    assert_eq!(diary.read(), ["a", "b", "c"]);
    let records = taken(&tapped).await;
    let keys: std::collections::BTreeSet<_> =
        records.iter().map(|record| record.key.clone()).collect();
    // One for the customer, one for the run.
    assert_eq!(keys.len(), 2);
    assert!(records.iter().all(|record| !shows(record, "customer")));
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn every_value_of_a_stored_run_is_an_envelope() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let store = Arc::new(MemoryStore::with_clock(transport.clock()));
    let encryption = Encryption::new(ring(&["new", "old"]));
    let client = Client::builder(transport.clone()).clock(transport.clock());
    let client = client.store(Arc::clone(&store)).encryption(encryption);
    let kser = client.build().await?;
    let diary = Diary::default();
    let consumer = kser.consumer(failing(&diary, 2)).spawn();
    let steps = vec![
        Step::new(note(SECRET)),
        Step::new(Send {}),
        Step::new(Doomed {}),
    ];
    let launch = kser
        .producer()
        .launch_steps("test.All", steps)
        .with_id("run-1");
    let run = launch.with_metadata("secret", SECRET).await?;
    assert_eq!(run.wait().await?.status, Status::Failed);

    let id = "run-1".into();
    let info = store.run(&id).await?.unwrap();
    assert_eq!(
        (info.status(), info.progress.position()),
        (Status::Failed, 3)
    );
    let first = store.step(&id, 1).await?.unwrap();
    assert_eq!(first.key.entrypoint.as_str(), "test.Note");
    let attempts = store.attempts(&id, None, 100).await?.rows;
    assert!(attempts.len() >= 3);
    let kept = format!("{info:?} {first:?} {attempts:?}");
    let launch = String::from_utf8_lossy(&info.launch).into_owned();
    assert!(!kept.contains("word") && !launch.contains("word"), "{kept}");
    assert!(launch.starts_with(r#"{"kser_sealed":2,"key":"new","topic":"kser.store."#));
    // Two clients with the keys see it all, and repair it.
    let state = run.status().await?;
    assert_eq!(state.outcome.error_message(), SECRET);
    run.resume().await?;
    assert_eq!(run.result().await?.message(), SECRET);
    let again = kser
        .producer()
        .launch_steps("test.All", vec![Step::new(note("other"))]);
    assert!(matches!(
        again.with_id("run-1").await,
        Err(Error::Conflict { .. })
    ));
    consumer.stop().await?;
    // A client without them sees that it cannot.
    let other = Client::builder(transport.clone()).clock(transport.clock());
    let other = other.store(Arc::clone(&store));
    let other = other
        .encryption(Encryption::new(ring(&["third"])))
        .build()
        .await?;
    let error = other.runs().status(&id).await.unwrap_err();
    assert!(told(&error).contains("the key new is missing"), "{error}");
    assert!(error.is_temporary());
    Ok(())
}

/// The rows of a run that began before the encryption are read while plain messages are allowed.
#[tokio::test(start_paused = true)]
async fn a_stored_run_goes_on_when_encryption_begins() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let store = Arc::new(MemoryStore::with_clock(transport.clock()));
    let client = || {
        Client::builder(transport.clone())
            .clock(transport.clock())
            .store(Arc::clone(&store))
    };
    let plain = client().build().await?;
    let diary = Diary::default();
    let steps = vec![Step::new(Doomed {}), Step::new(note(SECRET))];
    let run = plain
        .producer()
        .launch_steps("test.All", steps)
        .with_id("run-1")
        .await?;
    let consumer = plain.consumer(failing(&diary, 2)).spawn();
    assert_eq!(run.wait().await?.status, Status::Failed);
    consumer.stop().await?;
    let encryption = Encryption::new(ring(&["new"])).allow_plain();
    let kser = client().encryption(encryption).build().await?;
    let consumer = kser.consumer(failing(&diary, 2)).spawn();
    let id = "run-1".into();
    kser.runs().resume(&id).await?;
    assert_eq!(kser.runs().wait(&id).await?.outcome.message(), SECRET);
    let kept = store.read(&id).await?.value.into_progress().unwrap();
    assert!(!format!("{kept:?}").contains("word"));
    consumer.stop().await
}

/// One of the two consumers of a rotation, and the producer of its process.
struct Process {
    kser: Client,
    consumer: kser::consumer::RunningConsumer,
}

impl Process {
    async fn start(
        transport: &MemoryTransport,
        keys: &[&str],
        diary: &Diary,
    ) -> Result<Self, Error> {
        let encryption = Encryption::new(ring(keys));
        let client = builder(transport.clone(), Mode::AtLeastOnce).encryption(encryption);
        let kser = client.build().await?;
        let consumer = kser.consumer(noting(diary)).spawn();
        Ok(Self { kser, consumer })
    }
}

/// Runs a rotation under load: in each step one process after the other restarts with these keys. Returns the texts that were sent and
/// were noted, and the number of messages that had to wait for a key.
async fn rotate(steps: &[[&[&str]; 2]]) -> Result<(Vec<String>, Vec<String>, u64), Error> {
    let transport = MemoryTransport::new();
    let diary = Diary::default();
    let (mut sent, mut deferred) = (Vec::new(), 0);
    let mut processes: [Option<Process>; 2] = [None, None];
    for keys in steps {
        for (index, keys) in keys.iter().enumerate() {
            if let Some(process) = processes[index].take() {
                let health = process.consumer.handle().health().encryption.unwrap();
                deferred += health
                    .refused
                    .get("missing_key")
                    .copied()
                    .unwrap_or_default();
                process.consumer.stop().await?;
            }
            processes[index] = Some(Process::start(&transport, keys, &diary).await?);
            for process in processes.iter().flatten() {
                for _ in 0..20 {
                    let text = format!("{:03}", sent.len());
                    process.kser.producer().send(note(&text)).await?;
                    sent.push(text);
                }
            }
            sleep(Duration::from_secs(2)).await;
        }
        // Until the records that wait have been looked at again.
        sleep(Duration::from_secs(90)).await;
    }
    let [first, second] = processes;
    for process in [first, second].into_iter().flatten() {
        let mut letters = process.kser.dead_letters("test").await?;
        assert!(letters.list(10).await?.is_empty());
        letters.close().await?;
        let health = process.consumer.handle().health().encryption.unwrap();
        deferred += health
            .refused
            .get("missing_key")
            .copied()
            .unwrap_or_default();
        process.consumer.stop().await?;
    }
    let mut noted = diary.read();
    noted.sort();
    Ok((sent, noted, deferred))
}

#[tokio::test(start_paused = true)]
async fn a_rotation_in_the_right_order_defers_and_loses_nothing() -> Result<(), Error> {
    let before: [&[&str]; 2] = [&["old"], &["old"]];
    let readers: [&[&str]; 2] = [&["old", "new"], &["old", "new"]];
    let writers: [&[&str]; 2] = [&["new", "old"], &["new", "old"]];
    let after: [&[&str]; 2] = [&["new"], &["new"]];
    let (sent, noted, deferred) = rotate(&[before, readers, writers, after]).await?;
    assert_eq!(noted, sent);
    assert_eq!(deferred, 0);
    Ok(())
}

/// The writer of one process switches while the other process does not have the key yet.
#[tokio::test(start_paused = true)]
async fn a_writer_that_switches_too_early_has_its_messages_deferred() -> Result<(), Error> {
    let before: [&[&str]; 2] = [&["old"], &["old"]];
    let early: [&[&str]; 2] = [&["new", "old"], &["old"]];
    let late: [&[&str]; 2] = [&["new", "old"], &["new", "old"]];
    let (sent, noted, deferred) = rotate(&[before, early, late]).await?;
    assert_eq!(noted, sent);
    assert!(deferred > 0);
    Ok(())
}

/// The old key is removed while messages of it are on their way, and comes back.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_removed_too_early_has_its_messages_deferred() -> Result<(), Error> {
    let before: [&[&str]; 2] = [&["new", "old"], &["old", "new"]];
    let early: [&[&str]; 2] = [&["new"], &["old", "new"]];
    let back: [&[&str]; 2] = [&["new", "old"], &["new", "old"]];
    let (sent, noted, deferred) = rotate(&[before, early, back]).await?;
    assert_eq!(noted, sent);
    assert!(deferred > 0);
    Ok(())
}
