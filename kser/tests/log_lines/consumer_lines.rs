//! The log line of a consumer that cannot start.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::capture::{lines, listen};
use crate::common::{Diary, note, noting};
use crate::faulty::{Fault, Faulty};
use kser::consumer::ConsumerState;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::{Client, Error, Step};
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
async fn a_consumer_that_cannot_start_is_logged_and_tells_its_waiters() {
    listen();
    for (faulty, kser) in both().await {
        faulty.fail(Fault::Join);
        let consumer = kser.consumer(noting(&Diary::default())).spawn();
        sleep(Duration::from_secs(4)).await;
        let state = consumer.handle().health().state;
        assert!(
            says_failed(&state, "topic test does not exist"),
            "{state:?}"
        );
        let steps = vec![Step::new(note("a"))];
        let run = kser
            .producer()
            .launch_steps("test.Run", steps)
            .await
            .unwrap();
        let waited = timeout(MINUTE, run.result()).await.expect("told");
        let error = waited.unwrap_err().to_string();
        assert!(error.contains("topic test does not exist"), "{error}");
        faulty.heal();
        // A new one takes its place, and the run ends.
        let next = kser.consumer(noting(&Diary::default())).spawn();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(next.handle().state(), ConsumerState::Running);
        run.result().await.unwrap();
        let ended = next.handle();
        next.stop().await.unwrap();
        assert_eq!(ended.state(), ConsumerState::Stopped);
        assert!(matches!(
            consumer.join().await,
            Err(Error::MissingTopic { .. })
        ));
    }
    let log = lines();
    let errors = log.lines().filter(|line| line.contains("ERROR"));
    let errors = errors.filter(|line| {
        line.contains("Consumer.Failed") && line.contains("topic test does not exist")
    });
    assert_eq!(errors.count(), 2, "{log}");
}
