//! Turns the texts of messages and events into the payloads of records, and back: the one place that seals and opens them.

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kser_core::log::LogOptions;
use kser_core::{Error, Message, Object, Raw, Record, Topic, headers};

use crate::encryption_health::EncryptionHealth;
use crate::topics::DEAD_LETTERS;

/// The payloads of a client: texts as they are, unless there is a cipher.
#[derive(Debug, Clone, Default)]
pub(crate) struct Payloads {
    cipher: Option<Arc<dyn Cipher>>,
}

/// Seals texts and opens payloads.
#[async_trait]
pub(crate) trait Cipher: Debug + Send + Sync + 'static {
    /// Writes the payload of a record of `topic`.
    fn seal(&self, plain: Bytes, topic: &Topic) -> Result<Bytes, Error>;

    /// Returns the length of the payload of a record of `topic`, whichever key writes it. It may be longer than the payload as long as
    /// it is within `limit`.
    fn sealed_len(&self, plain: &Bytes, topic: &Topic, limit: usize) -> usize;

    /// Reads the payload of a record that was found in `topic`.
    fn open(&self, payload: &Bytes, topic: &Topic) -> Result<Bytes, Unopened>;

    /// Writes a value that a store keeps; `place` names its run and field.
    fn seal_row(&self, plain: Bytes, place: &Topic) -> Result<Bytes, Error>;

    /// Says whether values are read that are not encrypted.
    fn allows_plain(&self) -> bool;

    /// Returns the key of a record as it is published.
    fn record_key(&self, key: Bytes) -> Bytes;

    /// Loads the keys anew, since a payload needs one that is missing. Says whether there are other keys than before.
    async fn load_missing_key(&self) -> bool;

    /// Counts the payloads, by their keys and by the reasons why they could not be opened.
    fn health(&self) -> EncryptionHealth;
}

/// A payload that could not be opened.
#[derive(Debug, Clone)]
pub(crate) struct Unopened {
    /// The reason, which has no part of the payload.
    pub(crate) reason: String,
    /// Set if a key may still come, or a newer program may take over.
    pub(crate) is_temporary: bool,
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opening an encrypted message failed: {}", self.reason)
    }
}

impl std::error::Error for Unopened {}

impl From<Unopened> for Error {
    fn from(unopened: Unopened) -> Self {
        Self::Decode {
            source: unopened.into(),
        }
    }
}

impl Payloads {
    #[cfg(feature = "encryption")]
    pub(crate) fn encrypted(cipher: Arc<dyn Cipher>) -> Self {
        Self {
            cipher: Some(cipher),
        }
    }

    /// Says whether payloads are sealed.
    pub(crate) const fn is_encrypted(&self) -> bool {
        self.cipher.is_some()
    }

    pub(crate) fn seal(&self, plain: Bytes, topic: &Topic) -> Result<Bytes, Error> {
        match &self.cipher {
            Some(cipher) => cipher.seal(plain, topic),
            None => Ok(plain),
        }
    }

    /// Returns the length of the payload that [`seal`](Self::seal) writes, to be compared with `limit`: with the longest id of a key, since
    /// a sweep may write the same text with a later key.
    pub(crate) fn sealed_len(&self, plain: &Bytes, topic: &Topic, limit: usize) -> usize {
        match &self.cipher {
            Some(cipher) => cipher.sealed_len(plain, topic, limit),
            None => plain.len(),
        }
    }

    pub(crate) fn open(&self, payload: &Bytes, topic: &Topic) -> Result<Bytes, Unopened> {
        match &self.cipher {
            Some(cipher) => cipher.open(payload, topic),
            None => Ok(payload.clone()),
        }
    }

    /// Opens a payload, with keys that are loaded anew if one is missing.
    pub(crate) async fn open_or_load(
        &self,
        payload: &Bytes,
        topic: &Topic,
    ) -> Result<Bytes, Unopened> {
        match (self.open(payload, topic), &self.cipher) {
            (Err(unopened), Some(cipher)) if unopened.is_temporary => {
                match cipher.load_missing_key().await {
                    true => cipher.open(payload, topic),
                    false => Err(unopened),
                }
            }
            (opened, _) => opened,
        }
    }

    /// Reads the text of a record, which may be a dead letter.
    pub(crate) fn text(&self, record: &Record) -> Result<Bytes, Error> {
        let payload = record.payload.clone().unwrap_or_default();
        match self.is_encrypted() {
            true => Ok(self.open(&payload, &work_topic(record)?)?),
            false => Ok(payload),
        }
    }

    /// Decodes the message of a record, which may be a dead letter.
    pub(crate) fn message(&self, record: &Record) -> Result<Message, Error> {
        Message::decode(&self.text(record)?)
    }

    /// Writes a value that a store keeps.
    pub(crate) fn seal_row(&self, plain: Bytes, place: &Topic) -> Result<Bytes, Error> {
        match &self.cipher {
            Some(cipher) => cipher.seal_row(plain, place),
            None => Ok(plain),
        }
    }

    /// Reads a value that a store keeps.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`], temporary if the key may still come.
    pub(crate) async fn open_row(&self, row: &Bytes, place: &Topic) -> Result<Bytes, Error> {
        let opened = match (is_sealed_row(row), &self.cipher) {
            (true, _) => self.open_or_load(row, place).await,
            (false, Some(cipher)) if !cipher.allows_plain() => Err(Unopened {
                reason: "the value in the store is not encrypted".to_owned(),
                is_temporary: false,
            }),
            (false, _) => Ok(row.clone()),
        };
        opened.map_err(|unopened| Error::Backend {
            backend: "encrypted store",
            temporary: unopened.is_temporary,
            source: unopened.into(),
        })
    }

    /// Returns the digest of a launch as a store keeps it: the params must not be guessed from it.
    pub(crate) fn digest(&self, digest: String) -> String {
        let hashed = self.record_key(digest.clone().into());
        String::from_utf8(hashed.into()).unwrap_or(digest)
    }

    /// Returns the key of a record as it is published.
    pub(crate) fn record_key(&self, key: Bytes) -> Bytes {
        match &self.cipher {
            Some(cipher) => cipher.record_key(key),
            None => key,
        }
    }

    /// Writes a text for the header of a dead letter in `topic`.
    pub(crate) fn seal_header(&self, text: String, topic: &Topic) -> Result<Bytes, Error> {
        self.seal(text.into(), &of_dead_letter(topic)?)
    }

    /// Reads a header that [`seal_header`](Self::seal_header) wrote. A text that was not sealed is returned as it is, and in place of
    /// one that cannot be opened the reason.
    pub(crate) fn open_header(&self, value: &Bytes, topic: &Topic) -> String {
        let is_sealed = self.is_encrypted() && value.starts_with(b"{\"");
        let opened = match of_dead_letter(topic) {
            Ok(topic) if is_sealed => self.open(value, &topic),
            _ => Ok(value.clone()),
        };
        match opened {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(unopened) => unopened.to_string(),
        }
    }

    /// Returns the options of the log under which no text of a message is shown, if payloads are sealed.
    pub(crate) fn log_options(&self, log: LogOptions) -> LogOptions {
        match self.is_encrypted() {
            true => log.without_texts(),
            false => log,
        }
    }

    /// Returns the counts of the cipher, if payloads are sealed.
    pub(crate) fn health(&self) -> Option<EncryptionHealth> {
        self.cipher.as_ref().map(|cipher| cipher.health())
    }
}

/// Says whether a value in a store is an envelope. A store may write its JSON in another form.
fn is_sealed_row(row: &[u8]) -> bool {
    let field = b"\"kser_sealed\"";
    if !row.windows(field.len()).any(|window| window == field) {
        return false;
    }
    let object = Raw::from_slice(row).and_then(|raw| raw.parse::<Object>());
    object.is_ok_and(|object| object.fields().get("kser_sealed").is_some())
}

/// Returns the topic that a record was sent to: for a dead letter, the one to which its replay goes.
fn work_topic(record: &Record) -> Result<Topic, Error> {
    match (of_dead_letter(&record.topic)?, headers::topic(record)) {
        // Any program can write a header, and only a dead letter may name another topic.
        (topic, Some(sent_to)) if topic != record.topic => Ok(sent_to),
        (topic, _) => Ok(topic),
    }
}

/// Returns the topic whose dead letters a topic has; another topic as it is.
fn of_dead_letter(topic: &Topic) -> Result<Topic, Error> {
    match topic.as_str().strip_suffix(DEAD_LETTERS) {
        Some(of) => Ok(Topic::new(of)?),
        None => Ok(topic.clone()),
    }
}

#[cfg(all(test, feature = "encryption"))]
mod tests {
    use kser_clock::SystemClock;
    use kser_encryption::{Key, KeyId, KeyRing};

    use super::*;
    use crate::encryption::Encryption;

    /// Any program can write the header: in a work topic it changes nothing.
    #[tokio::test]
    async fn only_a_dead_letter_names_another_topic() {
        let ring = KeyRing::new(KeyId::new("a").unwrap(), Key::from_bytes([1; 32]));
        let cipher = Encryption::new(ring).into_cipher(Arc::new(SystemClock));
        let payloads = Payloads::encrypted(Arc::new(cipher.await.unwrap()));
        let [dice, casino] = ["dice", "casino"].map(|name| Topic::new(name).unwrap());
        let sealed = payloads.seal("{}".into(), &casino).unwrap();
        for (found, is_opened) in [("dice.dlt", true), ("dice", false), ("casino", true)] {
            let record = Record::new(Topic::new(found).unwrap(), Some(sealed.clone()));
            let record = record.with_header(headers::TOPIC, casino.to_string());
            assert_eq!(payloads.text(&record).is_ok(), is_opened, "{found}");
        }
        // A letter without the header belongs to the topic of its name.
        for (topic, is_opened) in [(&casino, true), (&dice, false)] {
            let name = Topic::new(format!("{topic}{DEAD_LETTERS}")).unwrap();
            let record = Record::new(name, Some(sealed.clone()));
            assert_eq!(payloads.text(&record).is_ok(), is_opened, "{topic}");
        }
    }
}
