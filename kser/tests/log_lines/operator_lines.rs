//! The log lines from which an operator learns how a consumer stands.

use std::time::Duration;

use crate::capture::{lines, listen};
use crate::common::{Doomed, Flaky, Note, client, note};
use kser::client::Mode;
use kser::run::Timestamp;
use kser::{Context, Entrypoint, Error, IntoTask, Registry, RetryPolicy, Step, TaskError};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// Its topic, `nowhere`, has no consumer.
#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("nowhere.Lost")]
struct Lost {}

/// A step whose topic its consumer does not read.
#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("astray.Step")]
struct Astray {}

#[tokio::test(start_paused = true)]
async fn starts_stops_steps_unknown_entrypoints_and_options_out_of_range_are_told()
-> Result<(), Error> {
    listen();
    let kser = client(Mode::AtLeastOnce).await;
    let flaky = |ctx: Context, _: Flaky| async move {
        match ctx.attempt() {
            1 => Err(TaskError::temporary("Busy", "try later")),
            _ => Ok("done"),
        }
    };
    let policy = RetryPolicy::exponential(2, Duration::from_millis(250));
    let registry = Registry::new().task(flaky.with_retry(policy));
    let registry = registry.task(|_: Note| async {});
    let registry = registry.task(|_: Astray| async {}).build()?;
    let consumer = kser.consumer(registry).with_topics(["test"])?;
    let consumer = consumer.with_concurrency(0).with_instance("me").spawn();
    let steps = vec![Step::new(Doomed {})];
    let _run = kser.producer().launch_steps("test.Run", steps).await?;
    let flaky = Flaky {
        text: String::new(),
        failures: 0,
    };
    let steps = vec![Step::new(flaky.clone()), Step::new(flaky)];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    run.wait().await?;
    kser.producer().send(Lost {}).await?;
    let astray = vec![Step::new(note("x")), Step::new(Astray {})];
    kser.producer().launch_steps("test.Run", astray).await?;
    sleep(Duration::from_secs(5)).await;
    // The other events are received with the first, and not taken.
    let mut events = kser.events(Timestamp::default()).await?;
    events.next().await?;
    drop(events);
    consumer.stop().await?;
    let text = lines();
    let second = format!(r#"run="{}" step=2 steps=2"#, run.id());
    for (level, line, field) in [
        (
            "INFO",
            "Consumer.Starting...",
            r#"topics=["test"] instance="me" not_read=["astray"]"#,
        ),
        ("INFO", "Consumer.Stopped", r#"topics=["test"]"#),
        (
            "WARN",
            "no handler is registered for test.Doomed; the message waits 600s",
            r#"registered=["astray.Step", "test.Flaky", "test.Note"]"#,
        ),
        (
            "WARN",
            "no consumer reads a topic with records",
            r#"topic=nowhere read={"test"}"#,
        ),
        (
            "WARN",
            "no consumer reads a topic with records",
            r#"topic=astray read={"test"}"#,
        ),
        (
            "WARN",
            "an option of a consumer is outside of its range",
            "asked=0 used=1",
        ),
        (
            "INFO",
            "Flaky.Success: test.Flaky[",
            &format!("retcode=0 {second} attempt=2 elapsed_ms=0"),
        ),
        (
            "INFO",
            "an attempt failed and is followed by another",
            &format!("{second} attempt=1 elapsed_ms=0 wait_ms="),
        ),
    ] {
        let mut lines = text.lines();
        let is_there = |l: &str| l.contains(level) && l.contains(line) && l.contains(field);
        assert!(lines.any(is_there), "no {level} {line} {field}: {text}");
    }
    assert_eq!(text.matches("no consumer reads").count(), 2, "{text}");
    assert!(!text.contains("without a settle"), "{text}");
    let of_steps = text
        .lines()
        .filter(|line| line.contains("test.Flaky") && line.contains("uuid="));
    assert_eq!(of_steps.count(), 4, "one line an attempt: {text}");
    Ok(())
}
