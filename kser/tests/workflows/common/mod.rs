//! What the tests of the facade share: a few entrypoints, and a place where handlers note what they did.
#![allow(dead_code, reason = "no test needs all of it")]
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kser::client::{ClientBuilder, Mode};
use kser::memory::{MemoryStore, MemoryTransport};
use kser::{Client, Entrypoint, Error, Outcome, Registry};
use serde::{Deserialize, Serialize};

macro_rules! entrypoint {
    ($name:ident, $path:literal, { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Entrypoint)]
        #[entrypoint($path)]
        pub(crate) struct $name { $(pub(crate) $field: $type),* }
    };
}

entrypoint!(Note, "test.Note", { text: String });
entrypoint!(Flaky, "test.Flaky", { text: String, failures: u32 });
entrypoint!(Doomed, "test.Doomed", {});
entrypoint!(Double, "test.Double", { n: i64 });
entrypoint!(Game, "test.Game", { notes: Vec<String> });

/// What handlers did, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    pub(crate) fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

pub(crate) fn note(text: &str) -> Note {
    Note {
        text: text.to_owned(),
    }
}

/// A client with a store, and one that carries the state in the messages.
pub(crate) async fn both() -> [Client; 2] {
    [client(Mode::Stored).await, client(Mode::AtLeastOnce).await]
}

pub(crate) async fn client(mode: Mode) -> Client {
    builder(MemoryTransport::new(), mode).build().await.unwrap()
}

/// Begins a client on the clock of `transport`, with a store of its own if runs are stored.
pub(crate) fn builder(transport: MemoryTransport, mode: Mode) -> ClientBuilder {
    let clock = transport.clock();
    let builder = Client::builder(transport).clock(clock);
    match mode {
        Mode::Stored => builder.store(MemoryStore::with_clock(clock)),
        _ => builder,
    }
}

/// An error with its causes.
pub(crate) fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

/// A task that takes a second, and notes its begin and end.
pub(crate) fn slow(diary: &Diary) -> Registry {
    let diary = diary.clone();
    let slow = move |note: Note| {
        let diary = diary.clone();
        async move {
            diary.note(format!("+{}", note.text));
            tokio::time::sleep(Duration::from_secs(1)).await;
            diary.note(format!("-{}", note.text));
        }
    };
    Registry::new().task(slow).build().unwrap()
}

/// A task that notes its text, and leaves it.
pub(crate) fn noting(diary: &Diary) -> Registry {
    let diary = diary.clone();
    let note = move |note: Note| {
        let diary = diary.clone();
        async move {
            diary.note(&note.text);
            Outcome::text(note.text)
        }
    };
    Registry::new().task(note).build().unwrap()
}
