//! Keys are loaded while a program runs: from services that hang or panic, and from files that change.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kser::backend::async_trait;
use kser::client::Mode;
use kser::encryption::{Encryption, Key, KeyError, KeyFile, KeyId, KeyProvider, KeyRing};
use kser::memory::MemoryTransport;
use kser::{Client, Error};
use tokio::time::{Instant, sleep};

use crate::common::{Diary, builder, note, noting, told};

/// The keys `old` and `new`, in base64.
const OLD: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const NEW: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn id(id: &str) -> KeyId {
    KeyId::new(id).unwrap()
}

fn old() -> KeyRing {
    KeyRing::new(id("old"), Key::from_base64(OLD).unwrap())
}

fn both() -> KeyRing {
    let ring = KeyRing::new(id("new"), Key::from_base64(NEW).unwrap());
    ring.with_reader(id("old"), Key::from_base64(OLD).unwrap())
        .unwrap()
}

/// The answer of a service for keys.
#[derive(Debug, Clone)]
enum Answer {
    Keys(KeyRing),
    Hang,
    Panic,
}

#[derive(Debug, Clone)]
struct Service(Arc<Mutex<Answer>>);

impl Service {
    fn new(answer: Answer) -> Self {
        Self(Arc::new(Mutex::new(answer)))
    }

    fn set(&self, answer: Answer) {
        *self.0.lock().unwrap() = answer;
    }
}

#[async_trait]
impl KeyProvider for Service {
    async fn load(&self) -> Result<KeyRing, KeyError> {
        let answer = self.0.lock().unwrap().clone();
        match answer {
            Answer::Keys(ring) => Ok(ring),
            Answer::Hang => std::future::pending().await,
            Answer::Panic => panic!("the service has a fault"),
        }
    }
}

async fn client(transport: &MemoryTransport, encryption: Encryption) -> Result<Client, Error> {
    let builder = builder(transport.clone(), Mode::AtLeastOnce);
    builder.encryption(encryption).build().await
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_an_answer_holds_nothing_up() -> Result<(), Error> {
    for fault in [Answer::Hang, Answer::Panic] {
        let transport = MemoryTransport::new();
        let service = Service::new(Answer::Keys(old()));
        let reader = client(&transport, Encryption::with_provider(service.clone())).await?;
        let writer = client(&transport, Encryption::new(both())).await?;
        let diary = Diary::default();
        let consumer = reader.consumer(noting(&diary)).spawn();
        service.set(fault.clone());
        // A load of each kind fails: that of the cache, and those of messages.
        sleep(Duration::from_secs(120)).await;
        for number in 0..20 {
            writer.producer().send(note(&format!("{number}"))).await?;
        }
        sleep(Duration::from_secs(60)).await;
        reader.producer().send(note("known")).await?;
        sleep(Duration::from_secs(20)).await;
        assert_eq!(diary.read(), ["known"], "{fault:?}");
        service.set(Answer::Keys(both()));
        sleep(Duration::from_secs(180)).await;
        assert_eq!(diary.read().len(), 21, "{fault:?}");
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_built_without_keys() {
    for fault in [Answer::Hang, Answer::Panic] {
        let began = Instant::now();
        let encryption = Encryption::with_provider(Service::new(fault.clone()));
        let error = client(&MemoryTransport::new(), encryption)
            .await
            .unwrap_err();
        assert!(error.is_temporary(), "{fault:?}: {}", told(&error));
        assert!(began.elapsed() <= Duration::from_secs(60));
    }
}

/// A file of its own, removed with it.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}.keys", std::process::id());
        Self(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_file_may_be_faulty_for_a_while() -> Result<(), Error> {
    let file = File::new("faulty");
    let transport = MemoryTransport::new();
    let from_file = || Encryption::with_provider(KeyFile::new(&file.0));
    let missing = client(&transport, from_file()).await.unwrap_err();
    assert!(missing.is_temporary());
    let path = file.0.display().to_string();
    assert!(told(&missing).contains(&path), "{}", told(&missing));
    let whole = format!("new:{NEW}\nold:{OLD}\n");
    for faulty in [&whole[..20], "", "new:AQID\n", &format!("{whole}{whole}")] {
        file.write(faulty);
        let error = client(&transport, from_file()).await.unwrap_err();
        assert!(!error.is_temporary(), "{faulty}: {}", told(&error));
        assert!(!told(&error).contains(&NEW[..8]), "{}", told(&error));
    }

    file.write(&format!("old:{OLD}\n"));
    let kser = client(&transport, from_file()).await?;
    let writer = client(&transport, Encryption::new(both())).await?;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    writer.producer().send(note("later")).await?;
    // Cut, emptied, and removed: the keys that were loaded before stay.
    for faulty in [Some(&whole[..20]), Some(""), None] {
        match faulty {
            Some(text) => file.write(text),
            None => std::fs::remove_file(&file.0).unwrap(),
        }
        sleep(Duration::from_secs(100)).await;
        kser.producer().send(note("now")).await?;
        sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(diary.read(), ["now"; 3]);
    file.write(&whole);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(diary.read().last().unwrap(), "later");
    let health = consumer.handle().health().encryption.unwrap();
    assert_eq!(health.writing.as_deref(), Some("new"));
    consumer.stop().await
}
