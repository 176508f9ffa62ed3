//! The log lines from which an operator learns how a consumer stands.
//!
//! Alone in its process: tracing keeps for each line whether a subscriber listens, for all threads at once.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Diary, Doomed, connection, noting};
use kser::{Error, Mode, Step};
use tokio::time::sleep;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn starts_stops_unknown_entrypoints_and_options_out_of_range_are_told() -> Result<(), Error> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let listening = tracing::subscriber::set_default(subscriber.finish());
    let kser = connection(Mode::AtLeastOnce).await;
    let consumer = kser.consumer(noting(&Diary::default()));
    let consumer = consumer.with_concurrency(0).with_instance("me").spawn();
    let steps = vec![Step::new(Doomed {})];
    let _run = kser.producer().launch_steps("test.Run", steps).await?;
    sleep(Duration::from_secs(1)).await;
    consumer.stop().await?;
    drop(listening);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for (level, line, field) in [
        (
            "INFO",
            "Consumer.Starting...",
            r#"topics=["test"] instance="me""#,
        ),
        ("INFO", "Consumer.Stopped", r#"topics=["test"]"#),
        (
            "WARN",
            "no handler is registered for test.Doomed; the message waits 600s",
            r#"registered=["test.Note"]"#,
        ),
        (
            "WARN",
            "an option of a consumer is outside of its range",
            "asked=0 used=1",
        ),
    ] {
        let mut lines = text.lines();
        let is_there = |l: &str| l.contains(level) && l.contains(line) && l.contains(field);
        assert!(lines.any(is_there), "no {level} {line} {field}: {text}");
    }
    Ok(())
}
