//! What the log of a client that encrypts says of messages.

use std::time::Duration;

use kser::client::Mode;
use kser::encryption::{Encryption, Key, KeyId, KeyRing};
use kser::memory::MemoryTransport;
use kser::{Error, Registry, TaskError};
use tokio::time::sleep;

use crate::capture::{lines, listen};
use crate::common::{Note, builder, note};

const SECRET: &str = "4711 is the word";

/// Failures of a task, faulty messages and keys leave no text in the log, and nothing of a key.
#[tokio::test(start_paused = true)]
async fn no_line_of_an_encrypted_client_has_a_text_of_a_message() -> Result<(), Error> {
    for is_encrypted in [true, false] {
        listen();
        let id = KeyId::new("a").unwrap();
        let ring = KeyRing::new(id, Key::from_bytes([b'k'; 32]));
        let builder = builder(MemoryTransport::new(), Mode::AtLeastOnce);
        let builder = match is_encrypted {
            true => builder.encryption(Encryption::new(ring)),
            false => builder,
        };
        let kser = builder.build().await?;
        let fails =
            |note: Note| async move { Err::<(), _>(TaskError::permanent(SECRET, note.text)) };
        let consumer = kser.consumer(Registry::new().task(fails).build()?).spawn();
        kser.producer().send(note(SECRET)).await?;
        let faulty = format!(r#"{{"uuid":"u","entrypoint":"test.Other","params":"{SECRET}"}}"#);
        kser.producer().send_bytes("test", faulty).await?;
        sleep(Duration::from_secs(60)).await;
        consumer.stop().await?;
        let text = lines();
        assert!(text.contains("test.Note"), "{text}");
        assert_eq!(text.contains("4711"), !is_encrypted, "{text}");
        assert!(
            !text.contains("kkkk") && !text.contains("[107, 107"),
            "{text}"
        );
    }
    Ok(())
}
