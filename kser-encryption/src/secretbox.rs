//! Version 1: the envelope of the Python package kser-crypto 0.1.13, `{"data": "…", "nonce": "…"}`.

use bytes::Bytes;
use cryptoxide::poly1305::{Poly1305, Tag};
use cryptoxide::salsa20::XSalsa20;
use kser_core::Fields;
use zeroize::Zeroizing;

use crate::base64::{decode, decode_lenient, decode_lines, lines_len, write_lines};
use crate::{Key, KeyId, KeyRing, OpenError};

const NONCE: usize = 24;
const TAG: usize = 16;

/// The fields of an envelope.
pub(crate) const DATA: &str = "data";
pub(crate) const NONCE_FIELD: &str = "nonce";

const HEAD: &[u8] = b"{\"data\": \"";
const BETWEEN: &[u8] = b"\", \"nonce\": \"";
const END: &[u8] = b"\"}";

/// Returns the length of the envelope that [`seal`] writes for a text of this length.
pub(crate) const fn sealed_len(text: usize) -> usize {
    HEAD.len() + lines_len(TAG + text) + BETWEEN.len() + lines_len(NONCE) + END.len()
}

/// Writes an envelope as kser-crypto does, byte for byte.
pub(crate) fn seal(ring: &KeyRing, plain: &[u8]) -> Bytes {
    let mut nonce = [0; NONCE];
    rand::fill(&mut nonce);
    let (_, key) = ring.writing_key();
    let mut sealed = Vec::with_capacity(TAG + plain.len());
    sealed.resize(TAG, 0);
    sealed.extend_from_slice(plain);
    let (tag, text) = sealed.split_at_mut(TAG);
    let (mut cipher, mut mac) = begin(key, &nonce);
    cipher.process_mut(text);
    mac.update_mut(text);
    tag.copy_from_slice(mac.finalize().as_ref());
    let mut out = Vec::with_capacity(sealed_len(plain.len()));
    out.extend_from_slice(HEAD);
    write_lines(&sealed, &mut out);
    out.extend_from_slice(BETWEEN);
    write_lines(&nonce, &mut out);
    out.extend_from_slice(END);
    out.into()
}

/// Begins NaCl's `secretbox`: the first 32 bytes of the stream are the key of the tag.
fn begin(key: &Key, nonce: &[u8; NONCE]) -> (XSalsa20, Poly1305) {
    let mut cipher = XSalsa20::new(key.bytes(), nonce);
    let mut first = Zeroizing::new([0; 32]);
    cipher.process_mut(&mut *first);
    (cipher, Poly1305::new(&first))
}

/// An envelope whose fields are decoded.
pub(crate) struct Boxed {
    nonce: [u8; NONCE],
    /// The tag and the text.
    sealed: Vec<u8>,
}

impl Boxed {
    /// Reads an envelope in the very form in which kser-crypto writes it. `None` for any other form.
    pub(crate) fn written(payload: &[u8]) -> Option<Self> {
        let text = payload.strip_prefix(HEAD)?.strip_suffix(END)?;
        let nonce_at = text.len().checked_sub(lines_len(NONCE))?;
        let (data, nonce) = text.split_at(nonce_at);
        Some(Self {
            nonce: decode(nonce)?.try_into().ok()?,
            sealed: decode_lines(data.strip_suffix(BETWEEN)?)?,
        })
    }

    /// Reads the fields of an envelope in any form of JSON.
    pub(crate) fn of_fields(fields: &Fields) -> Result<Self, OpenError> {
        let malformed = |reason| OpenError::Malformed { reason };
        if fields
            .iter()
            .any(|(name, _)| !matches!(name, DATA | NONCE_FIELD))
        {
            // As kser-crypto: a later version cannot add fields that would be ignored.
            return Err(malformed("an unknown field beside data and nonce"));
        }
        let read = |name, missing, flawed| {
            let value = fields.get(name).ok_or(malformed(missing))?;
            let text: String = value.parse().map_err(|_| malformed(flawed))?;
            let mut bytes = Vec::new();
            match text.is_ascii() && decode_lenient(text.as_bytes(), &mut bytes) {
                true => Ok(bytes),
                false => Err(malformed(flawed)),
            }
        };
        let nonce = read(NONCE_FIELD, "no nonce", "the nonce is not base64")?;
        let sealed = read(DATA, "no data", "the data is not base64")?;
        let nonce = nonce.try_into();
        Ok(Self {
            nonce: nonce.map_err(|_| malformed("the nonce has not 24 bytes"))?,
            sealed,
        })
    }

    /// Decrypts the text, and names the key that opens it. An envelope does not name its key, so that each is tried.
    pub(crate) fn open(mut self, ring: &KeyRing) -> Result<(Bytes, KeyId), OpenError> {
        let Some((tag, text)) = self.sealed.split_first_chunk_mut::<TAG>() else {
            return Err(OpenError::Malformed {
                reason: "the data is shorter than its tag",
            });
        };
        let tag = Tag(*tag);
        for (id, key) in ring.keys() {
            let (mut cipher, mut mac) = begin(key, &self.nonce);
            mac.update_mut(text);
            // The comparison takes as long for any other tag.
            if mac.finalize() == tag {
                cipher.process_mut(text);
                return Ok((Bytes::from(self.sealed).slice(TAG..), id.clone()));
            }
        }
        Err(OpenError::NoKeyOpens)
    }
}
