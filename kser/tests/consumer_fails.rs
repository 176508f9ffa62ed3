//! How a consumer ends by an error: in the log, in its health, and for those who wait for a run.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;
#[allow(dead_code, reason = "no test needs all of it")]
mod faulty;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Diary, note, noting};
use faulty::{Fault, Faulty};
use kser::{
    Connection, ConsumerState, Error, MemoryStore, MemoryTransport, NoStore, Registry, Step,
};
use tokio::time::{sleep, timeout};
use tracing_subscriber::fmt::MakeWriter;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

async fn both() -> [(Faulty, Connection); 2] {
    let (stored, carried) = (
        Faulty::new(MemoryTransport::new()),
        Faulty::new(MemoryTransport::new()),
    );
    let with_store = kser::connect_with(stored.clone(), MemoryStore::new()).await;
    let without = kser::connect_with(carried.clone(), NoStore).await;
    [(stored, with_store.unwrap()), (carried, without.unwrap())]
}

fn says_failed(state: &ConsumerState, what: &str) -> bool {
    matches!(state, ConsumerState::Failed { error } if error.contains(what))
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_cannot_start_is_logged_and_tells_its_waiters() {
    let lines = Lines::default();
    let logged = tracing_subscriber::fmt().with_ansi(false);
    let logged = logged.with_writer(lines.clone()).finish();
    // For all threads: tracing remembers of each line whether anything listens.
    tracing::subscriber::set_global_default(logged).unwrap();
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
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let errors = log.lines().filter(|line| line.contains("ERROR"));
    let errors = errors.filter(|line| {
        line.contains("Consumer.Failed") && line.contains("topic test does not exist")
    });
    assert_eq!(errors.count(), 2, "{log}");
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
