//! An operation that goes from Python to Rust and back to Python, all of it encrypted with kser-crypto's envelopes.

use std::time::{Duration, SystemTime};

use kser::encryption::{Encryption, KeyRing};
use kser::{Client, Context, Entrypoint, Error, Registry, Status, Step, TaskError};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::process::Process;
use super::{Place, with_python};
use crate::common::{patiently, trials};
use crate::encryption::{records, shows};

const LIMIT: Duration = Duration::from_secs(120);
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SECRET: &str = "caf\u{e9} 4711";

pub(super) fn trials() -> Vec<Trial> {
    trials![with_python: an_encrypted_operation_goes_through_python_and_rust]
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("vault.Launch")]
struct Launch {
    secret: String,
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("vault.First")]
struct First {
    secret: String,
}

async fn an_encrypted_operation_goes_through_python_and_rust() -> Result<(), Error> {
    let place = Place::new("encrypted-python");
    let servers = tokio::task::spawn_blocking(test_services::kafka)
        .await
        .unwrap();
    let url = format!("kafka://{servers}?create=3&prefix={}", place.prefix);
    let connect = || async {
        let keys = KeyRing::parse(format!("secretbox:{KEY}"))?;
        let builder = Client::builder_from_url(&*url);
        builder
            .encryption(Encryption::new(keys).write_v1())
            .build()
            .await
    };
    let kser = patiently(connect).await?;
    let topics = [place.make_topic("vault"), place.make_topic("python")];
    let launch = async |launch: Launch| {
        let python = Step::named("python.Echo", &json!({ "secret": launch.secret }));
        Ok::<_, TaskError>(vec![
            Step::new(First {
                secret: launch.secret,
            }),
            python.external(LIMIT),
            Step::new(First {
                secret: "again".to_owned(),
            }),
        ])
    };
    // The second time, behind the step in Python, it shows the result of that.
    let first = |ctx: Context, first: First| async move {
        let before = ctx.previous().message().to_owned();
        format!("{before}{}", first.secret)
    };
    let consumer = kser
        .consumer(Registry::new().task(first).operation(launch).build()?)
        .spawn();
    let mut python = Process::python_with(
        "tests/kafka/languages/encrypted.py",
        &[servers, &topics[0], &topics[1], SECRET],
        &[("KSER_SECRETBOX_KEY", KEY)],
    );
    python.line("launched").await;
    let ended = tokio::time::timeout(LIMIT, async {
        loop {
            match kser
                .runs()
                .wait_since(&"from-python".into(), SystemTime::UNIX_EPOCH)
                .await
            {
                Err(Error::UnknownRun { .. }) => {
                    tokio::time::sleep(Duration::from_millis(200)).await
                }
                ended => return ended,
            }
        }
    });
    let state = ended.await.unwrap()?;
    assert_eq!(state.status, Status::Success);
    assert_eq!(state.outcome.message(), format!("python saw {SECRET}again"));
    consumer.stop().await?;
    let mut topics = topics.to_vec();
    topics.push(place.topic("kser.events"));
    let records = records(&url, &topics).await;
    assert!(records.len() >= 6, "{records:?}");
    for record in &records {
        let payload = record.payload.as_deref().unwrap_or_default();
        assert!(payload.starts_with(br#"{"data": ""#), "{record:?}");
        assert!(!shows(record, "4711"), "{record:?}");
    }
    Ok(())
}
