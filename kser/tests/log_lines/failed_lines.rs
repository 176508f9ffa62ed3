//! What the log says of attempts that fail.

use std::time::Duration;

use crate::capture::{lines, listen};
use crate::common::{Note, client, note};
use kser::client::Mode;
use kser::{Context, Error, Registry, Step, TaskError};
use tokio::time::sleep;

/// The run is cancelled while its step runs, and the step fails: no success is to be read.
#[tokio::test(start_paused = true)]
async fn a_failed_attempt_of_a_cancelled_run_is_logged_as_failed() -> Result<(), Error> {
    listen();
    let kser = client(Mode::Stored).await;
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
    let text = lines();
    assert_eq!(text.matches("Note.Failed").count(), 1, "{text}");
    assert!(!text.contains("Note.Success"), "{text}");
    Ok(())
}
