//! Version 2: the envelope of kser, `{"kser_sealed":2,"key":"2026-02","topic":"dice","data":"…"}`.
//!
//! `data` is base64 of a nonce of 24 bytes, the text under XChaCha20-Poly1305, and a tag of 16 bytes. The associated data is the
//! canonical text of all that stands before the data, so that no other field can be changed. A compressed text has
//! `"zip":"lz4"` behind the topic.

use bytes::Bytes;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use data_encoding::BASE64;
use kser_core::{Fields, Topic};

use crate::key::is_name;
use crate::{Key, KeyId, KeyRing, OpenError, SealError};

const NONCE: usize = 24;
const TAG: usize = 16;

/// The version that this module writes and reads.
pub(crate) const VERSION: u64 = 2;

/// The field whose value is the version.
pub(crate) const FIELD: &str = "kser_sealed";

/// The largest text that a compressed envelope is expanded to, in bytes.
const LARGEST_EXPANDED: usize = 16 * 1024 * 1024;

/// The beginning of an envelope, up to its key.
const HEAD: &str = "{\"kser_sealed\":2,\"key\":\"";
const TOPIC: &str = "\",\"topic\":\"";
const ZIP: &str = "\",\"zip\":\"lz4";
const DATA: &str = "\",\"data\":\"";
const END: &str = "\"}";

/// The parts of an envelope.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sealed<'e> {
    key: &'e str,
    topic: &'e str,
    is_compressed: bool,
    data: &'e str,
}

/// Writes an envelope for a topic.
pub(crate) fn seal(
    ring: &KeyRing,
    plain: &[u8],
    topic: &Topic,
    compress: bool,
) -> Result<Bytes, SealError> {
    let (id, key) = ring.writing_key();
    // A text that does not get smaller stays as it is.
    let compressed = compress.then(|| lz4_flex::block::compress_prepend_size(plain));
    let compressed = compressed.filter(|text| text.len() < plain.len());
    let text = compressed.as_deref().unwrap_or(plain);
    let mut nonce = XNonce::default();
    rand::fill(&mut nonce[..]);
    let mut sealed = Vec::with_capacity(NONCE + text.len() + TAG);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(text);
    let data_len = (NONCE + text.len() + TAG).div_ceil(3) * 4;
    let mut out = String::with_capacity(256 + data_len);
    write_header(id.as_str(), topic.as_str(), compressed.is_some(), &mut out);
    let cipher = XChaCha20Poly1305::new(key.bytes().into());
    let tag = cipher.encrypt_inout_detached(&nonce, out.as_bytes(), (&mut sealed[NONCE..]).into());
    let tag = tag.map_err(|_| SealError { size: plain.len() })?;
    sealed.extend_from_slice(&tag);
    out.push_str(DATA);
    BASE64.encode_append(&sealed, &mut out);
    out.push_str(END);
    Ok(out.into())
}

/// Writes all that stands before the data: the associated data.
fn write_header(key: &str, topic: &str, is_compressed: bool, out: &mut String) {
    for part in [HEAD, key, TOPIC, topic] {
        out.push_str(part);
    }
    if is_compressed {
        out.push_str(ZIP);
    }
}

impl<'e> Sealed<'e> {
    /// Reads an envelope in the very form in which it is written. `None` for any other form.
    pub(crate) fn written(payload: &'e [u8]) -> Option<Self> {
        let rest = std::str::from_utf8(payload).ok()?.strip_prefix(HEAD)?;
        let (key, rest) = rest.split_once('"')?;
        let (topic, rest) = rest.strip_prefix(&TOPIC[1..])?.split_once('"')?;
        let (is_compressed, rest) = match rest.strip_prefix(&ZIP[1..]) {
            Some(rest) => (true, rest.strip_prefix('"')?),
            None => (false, rest),
        };
        let data = rest.strip_prefix(&DATA[1..])?.strip_suffix(END)?;
        // Names with an escape are read by the parser.
        let is_plain = is_name(key, KeyId::MAX_LENGTH) && is_name(topic, Topic::MAX_LENGTH);
        is_plain.then_some(Self {
            key,
            topic,
            is_compressed,
            data,
        })
    }

    /// Decrypts an envelope that was found in a topic. The caller has looked at the version.
    pub(crate) fn open(self, ring: &KeyRing, found: &Topic) -> Result<(Bytes, KeyId), OpenError> {
        let malformed = |reason| OpenError::Malformed { reason };
        if self.topic != found.as_str() {
            let written = Topic::new(self.topic);
            return Err(OpenError::OtherTopic {
                written: written.map_err(|_| malformed("its topic cannot be one"))?,
                found: found.clone(),
            });
        }
        if !is_name(self.key, KeyId::MAX_LENGTH) {
            return Err(malformed("its key id cannot be one"));
        }
        let Some((id, key)) = ring.find(self.key) else {
            let id = KeyId::new(self.key).map_err(|_| malformed("its key id cannot be one"))?;
            return Err(OpenError::MissingKey { id });
        };
        let plain = self.decrypt(id, key)?;
        match self.is_compressed {
            true => Ok((expand(&plain)?, id.clone())),
            false => Ok((plain, id.clone())),
        }
    }

    fn decrypt(&self, id: &KeyId, key: &Key) -> Result<Bytes, OpenError> {
        let malformed = |reason| OpenError::Malformed { reason };
        let sealed = BASE64.decode(self.data.as_bytes());
        let mut sealed = sealed.map_err(|_| malformed("the data is not base64"))?;
        let Some(end) = sealed.len().checked_sub(TAG).filter(|end| *end >= NONCE) else {
            return Err(malformed("the data is shorter than its nonce and tag"));
        };
        let mut header = String::with_capacity(256);
        write_header(self.key, self.topic, self.is_compressed, &mut header);
        let short = |_| malformed("the data is shorter than its nonce and tag");
        let nonce = XNonce::try_from(&sealed[..NONCE]).map_err(short)?;
        let tag = Tag::try_from(&sealed[end..]).map_err(short)?;
        let cipher = XChaCha20Poly1305::new(key.bytes().into());
        let text = (&mut sealed[NONCE..end]).into();
        let opened = cipher.decrypt_inout_detached(&nonce, header.as_bytes(), text, &tag);
        opened.map_err(|_| OpenError::Changed { id: id.clone() })?;
        Ok(Bytes::from(sealed).slice(NONCE..end))
    }
}

/// Reads the fields of an envelope in any form of JSON, and opens it.
pub(crate) fn open_fields(
    ring: &KeyRing,
    fields: &Fields,
    found: &Topic,
) -> Result<(Bytes, KeyId), OpenError> {
    let malformed = |reason| OpenError::Malformed { reason };
    match fields.get_as::<u64>(FIELD) {
        Some(VERSION) => {}
        Some(version) if version > VERSION => return Err(OpenError::NewerVersion { version }),
        _ => return Err(malformed("its version cannot be one")),
    }
    let known = [FIELD, "key", "topic", "zip", "data"];
    if fields.iter().any(|(name, _)| !known.contains(&name)) {
        return Err(malformed("an unknown field"));
    }
    let text = |name, flaw| fields.get_as::<String>(name).ok_or(malformed(flaw));
    let is_compressed = match fields.get("zip") {
        None => false,
        Some(zip) if zip.as_str() == "\"lz4\"" => true,
        Some(_) => return Err(malformed("its compression is unknown")),
    };
    let (key, topic) = (text("key", "no key id")?, text("topic", "no topic")?);
    let data = text("data", "no data")?;
    let sealed = Sealed {
        key: &key,
        topic: &topic,
        is_compressed,
        data: &data,
    };
    sealed.open(ring, found)
}

/// Expands a compressed text, whose first four bytes are its size.
fn expand(text: &[u8]) -> Result<Bytes, OpenError> {
    let malformed = OpenError::Malformed {
        reason: "the compressed text cannot be expanded",
    };
    let Ok((size, text)) = lz4_flex::block::uncompressed_size(text) else {
        return Err(malformed);
    };
    if size > LARGEST_EXPANDED {
        return Err(OpenError::TooLarge {
            size,
            limit: LARGEST_EXPANDED,
        });
    }
    let expanded = lz4_flex::block::decompress(text, size);
    expanded.map(Bytes::from).map_err(|_| malformed)
}
