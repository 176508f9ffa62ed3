//! Version 2: the envelope of kser, `{"kser_sealed":2,"key":"2026-02","topic":"dice","data":"…"}`.
//!
//! `data` is base64 of a nonce of 24 bytes, the text under XAES-256-GCM, and a tag of 16 bytes. The associated data is the
//! canonical text of all that stands before the data, so that no other field can be changed. A compressed text has
//! `"zip":"lz4"` behind the topic.

use bytes::Bytes;
use kser_core::{Fields, Topic};

use crate::base64;
use crate::key::is_name;
use crate::xaes::{NONCE, TAG};
use crate::{Key, KeyId, KeyRing, OpenError, SealError};

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
    /// The canonical text of all that stands before the data: the associated data.
    header: &'e [u8],
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
    let compressed = if compress { compressed(plain) } else { None };
    let text = compressed.as_deref().unwrap_or(plain);
    let is_compressed = compressed.is_some();
    let mut nonce = [0; NONCE];
    rand::fill(&mut nonce);
    let mut sealed = Vec::with_capacity(NONCE + text.len() + TAG);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(text);
    let len = envelope_len(id.as_str().len(), topic, text.len(), is_compressed);
    let mut out = Vec::with_capacity(len);
    write_header(id.as_str(), topic.as_str(), is_compressed, &mut out);
    let tag = key.xaes().encrypt(&nonce, &out, &mut sealed[NONCE..]);
    sealed.extend_from_slice(&tag.map_err(|_| SealError { size: plain.len() })?);
    out.extend_from_slice(DATA.as_bytes());
    base64::write(&sealed, &mut out);
    out.extend_from_slice(END.as_bytes());
    Ok(out.into())
}

/// Returns the length of the envelope that [`seal`] writes with a key whose id has this length.
pub(crate) fn sealed_len(key_id: usize, plain: &[u8], topic: &Topic, compress: bool) -> usize {
    match if compress { compressed(plain) } else { None } {
        Some(text) => envelope_len(key_id, topic, text.len(), true),
        None => envelope_len(key_id, topic, plain.len(), false),
    }
}

/// Compresses a text; `None` where that makes its envelope no smaller.
fn compressed(plain: &[u8]) -> Option<Vec<u8>> {
    let text = lz4_flex::block::compress_prepend_size(plain);
    (data_len(text.len()) + ZIP.len() < data_len(plain.len())).then_some(text)
}

const fn data_len(text: usize) -> usize {
    (NONCE + text + TAG).div_ceil(3) * 4
}

fn envelope_len(key_id: usize, topic: &Topic, text: usize, is_compressed: bool) -> usize {
    let zip = if is_compressed { ZIP.len() } else { 0 };
    let names = key_id + topic.as_str().len();
    HEAD.len() + TOPIC.len() + names + zip + DATA.len() + data_len(text) + END.len()
}

/// Writes all that stands before the data.
fn write_header(key: &str, topic: &str, is_compressed: bool, out: &mut Vec<u8>) {
    for part in [HEAD, key, TOPIC, topic] {
        out.extend_from_slice(part.as_bytes());
    }
    if is_compressed {
        out.extend_from_slice(ZIP.as_bytes());
    }
}

impl<'e> Sealed<'e> {
    /// Reads an envelope in the very form in which it is written. `None` for any other form.
    pub(crate) fn written(payload: &'e [u8]) -> Option<Self> {
        let payload = std::str::from_utf8(payload).ok()?;
        let (key, rest) = payload.strip_prefix(HEAD)?.split_once('"')?;
        let (topic, rest) = rest.strip_prefix(&TOPIC[1..])?.split_once('"')?;
        let (is_compressed, rest) = match rest.strip_prefix(&ZIP[1..]) {
            Some(rest) => (true, rest.strip_prefix('"')?),
            None => (false, rest),
        };
        let data = rest.strip_prefix(&DATA[1..])?.strip_suffix(END)?;
        let header = &payload.as_bytes()[..payload.len() - END.len() - data.len() - DATA.len()];
        // Names with an escape are read by the parser.
        let is_plain = is_name(key, KeyId::MAX_LENGTH) && is_name(topic, Topic::MAX_LENGTH);
        is_plain.then_some(Self {
            header,
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
        let sealed = base64::decode(self.data.as_bytes());
        let mut sealed = sealed.ok_or(malformed("the data is not base64"))?;
        let short = malformed("the data is shorter than its nonce and tag");
        let Some((nonce, rest)) = sealed.split_first_chunk_mut::<NONCE>() else {
            return Err(short);
        };
        let Some((text, tag)) = rest.split_last_chunk_mut::<TAG>() else {
            return Err(short);
        };
        let opened = key.xaes().decrypt(nonce, self.header, text, *tag);
        opened.map_err(|_| OpenError::Changed { id: id.clone() })?;
        let end = sealed.len() - TAG;
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
    let mut header = Vec::new();
    write_header(&key, &topic, is_compressed, &mut header);
    let sealed = Sealed {
        header: &header,
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
