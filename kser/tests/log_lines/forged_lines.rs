//! What a message says stays on its line, in spans too.

use std::time::Duration;

use crate::capture::{lines, listen};
use crate::common::{Note, client, note};
use kser::client::Mode;
use kser::{Context, Error, Registry, TaskError};
use tokio::time::sleep;
use tracing::Level;

#[tokio::test(start_paused = true)]
async fn a_uuid_cannot_forge_a_log_line() -> Result<(), Error> {
    listen();
    let kser = client(Mode::AtLeastOnce).await;
    let failing = |ctx: Context, _: Note| async move {
        ctx.log(Level::INFO, "about to\nFORGED");
        Err::<(), _>(TaskError::new("No", "no\nFORGED").with_code(422))
    };
    let consumer = kser
        .consumer(Registry::new().task(failing).build()?)
        .spawn();
    kser.producer()
        .send(note("x"))
        .with_id("u\nFORGED \u{1b}[2J")
        .await?;
    sleep(Duration::from_secs(5)).await;
    consumer.stop().await?;
    // What an error says of a message stays on its line, too.
    let kser = client(Mode::Stored).await;
    let consumer = kser
        .consumer(Registry::new().task(|_: Note| async {}).build()?)
        .spawn();
    let foreign = r#"{"uuid":"u","entrypoint":"test.Note","params":{"text":"x"},"metadata":{"kser":{"v":1,"run":"r\nFORGED","name":"test.Run","step":1,"of":1,"mode":"stored","version":3,"store":"s\nFORGED"}}}"#;
    kser.producer().send_bytes("test", foreign).await?;
    sleep(Duration::from_secs(5)).await;
    consumer.stop().await?;
    let text = lines();
    assert!(
        text.contains("Note.Failed")
            && text.contains("kser.step")
            && text.contains("handling a record failed; it waits for another consumer"),
        "{text}"
    );
    assert!(
        !text.contains('\u{1b}') && !text.lines().any(|line| line.starts_with("FORGED")),
        "{text}"
    );
    Ok(())
}
