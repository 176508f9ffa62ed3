use bytes::Bytes;
use kser_core::{Fields, Object, Raw, Topic};

use crate::sealed::{self, Sealed};
use crate::secretbox::{self, Boxed};
use crate::{KeyId, KeyRing, OpenError, SealError};

/// The form in which payloads are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Writing {
    /// Writes envelopes of version 2, which kser alone reads.
    #[default]
    Version2,
    /// Writes envelopes of version 2 whose text is compressed with LZ4, where that makes it smaller. The length of an envelope then
    /// tells something about its text: a sender that puts secrets and text of strangers into one message should not compress.
    Version2Compressed,
    /// Writes envelopes of version 1, which the Python package kser-crypto reads too.
    Version1,
    /// Writes no envelopes, as in the first step of a migration, while some consumers cannot read them.
    Plain,
}

/// The rule for received payloads that are not encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reading {
    /// Refuses them.
    #[default]
    Require,
    /// Reads them, as during a migration.
    AllowPlain,
}

/// A payload that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// The text.
    pub plain: Bytes,
    /// The key that it was written with; `None` for a payload that was not encrypted.
    pub key: Option<KeyId>,
}

/// Writes a payload for a topic, with the writing key of a ring.
///
/// # Errors
///
/// [`SealError`] for a payload of more than 256 GiB.
pub fn seal(
    ring: &KeyRing,
    writing: Writing,
    plain: Bytes,
    topic: &Topic,
) -> Result<Bytes, SealError> {
    match writing {
        Writing::Version2 => sealed::seal(ring, &plain, topic, false),
        Writing::Version2Compressed => sealed::seal(ring, &plain, topic, true),
        Writing::Version1 => Ok(secretbox::seal(ring, &plain)),
        Writing::Plain => Ok(plain),
    }
}

/// Returns the length of the payload that [`seal`] writes for a topic, with a key whose id has this length. Nothing is encrypted; a
/// text that would be compressed is.
#[must_use]
pub fn sealed_len(key_id: usize, writing: Writing, plain: &[u8], topic: &Topic) -> usize {
    match writing {
        Writing::Version2 => sealed::sealed_len(key_id, plain, topic, false),
        Writing::Version2Compressed => sealed::sealed_len(key_id, plain, topic, true),
        Writing::Version1 => secretbox::sealed_len(plain.len()),
        Writing::Plain => plain.len(),
    }
}

/// Reads a payload that was found in a topic, with any key of a ring.
///
/// A delay topic and a dead-letter topic count as the topic that the record was sent to.
///
/// ```
/// use bytes::Bytes;
/// use kser_core::Topic;
/// use kser_encryption::{Key, KeyId, KeyRing, OpenError, Reading, Writing, open, seal};
///
/// let ring = KeyRing::new(KeyId::new("2026-02")?, Key::random());
/// let (dice, casino) = (Topic::new("dice")?, Topic::new("casino")?);
/// let payload = seal(&ring, Writing::Version2, Bytes::from("{}"), &dice)?;
/// assert_eq!(open(&ring, Reading::Require, &payload, &dice)?.plain, "{}");
/// let swapped = open(&ring, Reading::Require, &payload, &casino);
/// assert!(matches!(swapped, Err(OpenError::OtherTopic { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`OpenError`] names the reason, which [may pass](OpenError::is_temporary).
pub fn open(
    ring: &KeyRing,
    reading: Reading,
    payload: &Bytes,
    found: &Topic,
) -> Result<Opened, OpenError> {
    let opened = |(plain, key)| Opened {
        plain,
        key: Some(key),
    };
    if let Some(sealed) = Sealed::written(payload) {
        return sealed.open(ring, found).map(opened);
    }
    if let Some(boxed) = Boxed::written(payload) {
        return boxed.open(ring).map(opened);
    }
    let fields = match fields(payload) {
        Some(fields) => fields,
        None if BEGINNINGS.iter().any(|begins| payload.starts_with(begins)) => {
            return Err(OpenError::Malformed {
                reason: "it is cut, or not JSON",
            });
        }
        None => Fields::default(),
    };
    if fields.get(sealed::FIELD).is_some() {
        return sealed::open_fields(ring, &fields, found).map(opened);
    }
    let has = |name| fields.get(name).is_some();
    if (has(secretbox::DATA) || has(secretbox::NONCE_FIELD)) && !has("entrypoint") {
        return Boxed::of_fields(&fields)?.open(ring).map(opened);
    }
    match reading {
        Reading::Require => Err(OpenError::Plain),
        Reading::AllowPlain => Ok(Opened {
            plain: payload.clone(),
            key: None,
        }),
    }
}

/// The beginnings of envelopes as they are written, by which one that is cut is told from a plain message.
const BEGINNINGS: [&[u8]; 2] = [b"{\"kser_sealed\"", b"{\"data\""];

/// Returns the fields of a JSON object; `None` for any other payload.
fn fields(payload: &[u8]) -> Option<Fields> {
    let object = Raw::from_slice(payload).and_then(|raw| raw.parse::<Object>());
    Some(object.ok()?.fields())
}
