//! The end of a consumer by an error: in its health, and for the callers that wait for a run.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{self, Diary, note, noting};
use crate::faulty::{Fault, Faulty};
use kser::consumer::ConsumerState;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::{Client, Error, Registry, Step};
use tokio::time::{sleep, timeout};

const MINUTE: Duration = Duration::from_secs(60);

async fn both() -> [(Faulty, Client); 2] {
    let (stored, carried) = (
        Faulty::new(MemoryTransport::new()),
        Faulty::new(MemoryTransport::new()),
    );
    let with_store = Client::builder(stored.clone())
        .store(MemoryStore::new())
        .build()
        .await;
    let without = Client::builder(carried.clone()).build().await;
    [(stored, with_store.unwrap()), (carried, without.unwrap())]
}

fn says_failed(state: &ConsumerState, what: &str) -> bool {
    matches!(state, ConsumerState::Failed { error } if error.contains(what))
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_fails_later_wakes_its_waiters() {
    for (faulty, kser) in both().await {
        let slow = |_: common::Note| sleep(MINUTE * 10);
        let registry = Registry::new().task(slow).build().unwrap();
        let consumer = kser.consumer(registry).spawn();
        let steps = vec![Step::new(note("a"))];
        let run = kser
            .producer()
            .launch_steps("test.Run", steps)
            .await
            .unwrap();
        let waiting = tokio::spawn(async move { run.wait().await });
        sleep(Duration::from_secs(1)).await;
        faulty.fail(Fault::Fetch { temporary: false });
        let waited = timeout(MINUTE * 2, waiting).await.expect("told").unwrap();
        assert!(
            matches!(waited, Err(Error::ConsumerFailed { .. })),
            "{waited:?}"
        );
        let state = consumer.handle().state();
        assert!(says_failed(&state, "faulty failed: on demand"), "{state:?}");
        assert!(consumer.join().await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_temporary_error_ends_no_consumer() {
    for (faulty, kser) in both().await {
        let diary = Diary::default();
        let consumer = kser.consumer(noting(&diary)).spawn();
        sleep(Duration::from_secs(1)).await;
        faulty.fail(Fault::Fetch { temporary: true });
        sleep(MINUTE).await;
        assert_eq!(consumer.handle().state(), ConsumerState::Running);
        faulty.heal();
        kser.producer().send(note("a")).await.unwrap();
        sleep(Duration::from_secs(15)).await;
        assert_eq!(diary.read(), ["a"]);
        consumer.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_consumer_without_topics_is_refused() {
    let kser = kser::connect("memory://").await.unwrap();
    let ran = timeout(MINUTE, kser.consumer(Registry::default()).run()).await;
    let error = ran.expect("refused").unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_dropped_is_aborted() {
    let kser = kser::connect("memory://").await.unwrap();
    let consumer = kser.consumer(noting(&Diary::default())).spawn();
    let handle = consumer.handle();
    sleep(Duration::from_secs(1)).await;
    consumer.kill();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(handle.state(), ConsumerState::Aborted);
}
