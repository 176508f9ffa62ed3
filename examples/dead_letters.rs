//! Lists the dead letters of a topic, then replays them: `cargo run --example dead_letters`.
//!
//! On Kafka, with `KSER_URL` and the name of a topic as the argument, it lists the dead letters and changes nothing:
//! `cargo run --features kafka --example dead_letters -- image`.

use kser::{Client, Entrypoint, Error, Registry, TaskError};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("image.Resize")]
struct Resize {
    width: u32,
}

async fn too_wide(image: Resize) -> Result<(), TaskError> {
    let text = format!("{} is too wide", image.width);
    Err(TaskError::new("TooWide", text).with_code(422))
}

async fn resize(image: Resize) -> String {
    format!("it is {} wide", image.width)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let kser = kser::connect(&kser_examples::url()).await?;
    if let Some(topic) = std::env::args().nth(1) {
        return list(&kser, &topic).await;
    }
    let broken = kser
        .consumer(Registry::new().task(too_wide).build()?)
        .spawn();
    for width in [5000, 6000] {
        kser.producer().send(Resize { width }).await?;
    }
    // The tasks fail permanently, and their messages become dead letters.
    let mut letters = kser.dead_letters("image").await?;
    let first = letters.next().await?;
    println!("one of them: {}", first.error().unwrap_or_default());
    letters.close().await?;
    broken.stop().await?;

    list(&kser, "image").await?;

    // A session settles only the letters that it replays or discards; all others come again in the next session.
    let mended = kser.consumer(Registry::new().task(resize).build()?).spawn();
    let mut letters = kser.dead_letters("image").await?;
    let report = letters.replay_all(|letter| letter.replays() < 3).await?;
    println!(
        "{} were replayed, {} failed",
        report.replayed,
        report.failed.len()
    );
    letters.close().await?;
    mended.stop().await
}

async fn list(kser: &Client, topic: &str) -> Result<(), Error> {
    let mut letters = kser.dead_letters(topic).await?;
    for letter in letters.list(100).await? {
        let id = letter.message().map(|message| message.uuid.to_string());
        let (id, error) = (id.unwrap_or_default(), letter.error().unwrap_or_default());
        println!("{id}: {error} (after {} attempts)", letter.attempts());
    }
    letters.close().await
}
