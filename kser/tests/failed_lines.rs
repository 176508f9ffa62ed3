//! What the log says of attempts that fail.
//!
//! Alone in its process: tracing keeps for each line whether anybody listens, for all threads at once.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Note, connection, note};
use kser::{Context, Error, Mode, Registry, Step, TaskError};
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

/// The run is cancelled while its step runs, and the step fails: no success is to be read.
#[tokio::test(start_paused = true)]
async fn a_failed_attempt_of_a_cancelled_run_is_logged_as_failed() -> Result<(), Error> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let listening = tracing::subscriber::set_default(subscriber.finish());
    let kser = connection(Mode::Stored).await;
    let task = |ctx: Context, _: Note| async move {
        ctx.cancelled().await;
        Err::<(), _>(TaskError::new("Given up", "it was cancelled"))
    };
    let consumer = kser.consumer(Registry::new().task(task).build()?).spawn();
    let steps = vec![Step::new(note("x"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    sleep(Duration::from_secs(1)).await;
    run.cancel().await?;
    sleep(Duration::from_secs(60)).await;
    consumer.stop().await?;
    drop(listening);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("Note.Failed").count(), 1, "{text}");
    assert!(!text.contains("Note.Success"), "{text}");
    Ok(())
}
