//! Version 1: the envelope of the Python package kser-crypto 0.1.13, `{"data": "…", "nonce": "…"}`.

use bytes::Bytes;
use crypto_secretbox::aead::{AeadInPlace, KeyInit};
use crypto_secretbox::{Nonce, Tag, XSalsa20Poly1305};
use kser_core::Fields;

use crate::base64::{decode_lenient, lines_len, write_lines};
use crate::{KeyId, KeyRing, OpenError, SealError};

const NONCE: usize = XSalsa20Poly1305::NONCE_SIZE;
const TAG: usize = XSalsa20Poly1305::TAG_SIZE;

/// The fields of an envelope.
pub(crate) const DATA: &str = "data";
pub(crate) const NONCE_FIELD: &str = "nonce";

/// Writes an envelope as kser-crypto does, byte for byte.
pub(crate) fn seal(ring: &KeyRing, plain: &[u8]) -> Result<Bytes, SealError> {
    let mut nonce = Nonce::default();
    rand::fill(&mut nonce[..]);
    let (_, key) = ring.writing_key();
    let mut sealed = Vec::with_capacity(TAG + plain.len());
    sealed.resize(TAG, 0);
    sealed.extend_from_slice(plain);
    let (tag, text) = sealed.split_at_mut(TAG);
    let cipher = XSalsa20Poly1305::new(key.bytes().into());
    let written = cipher.encrypt_in_place_detached(&nonce, b"", text);
    tag.copy_from_slice(&written.map_err(|_| SealError { size: plain.len() })?);
    let mut out = String::with_capacity(64 + lines_len(sealed.len()));
    out.push_str("{\"data\": \"");
    write_lines(&sealed, &mut out);
    out.push_str("\", \"nonce\": \"");
    write_lines(&nonce, &mut out);
    out.push_str("\"}");
    Ok(out.into())
}

/// Opens an envelope, and names the key that opens it. An envelope does not name its key, so that each is tried.
pub(crate) fn open(ring: &KeyRing, fields: &Fields) -> Result<(Bytes, KeyId), OpenError> {
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
    if nonce.len() != NONCE {
        return Err(malformed("the nonce has not 24 bytes"));
    }
    let Some((tag, text)) = sealed.split_at_checked(TAG) else {
        return Err(malformed("the data is shorter than its tag"));
    };
    let (nonce, tag) = (Nonce::from_slice(&nonce), Tag::from_slice(tag));
    let mut plain = text.to_vec();
    for (id, key) in ring.keys() {
        let cipher = XSalsa20Poly1305::new(key.bytes().into());
        // A refused text is left as it is.
        let opened = cipher.decrypt_in_place_detached(nonce, b"", &mut plain, tag);
        if opened.is_ok() {
            return Ok((plain.into(), id.clone()));
        }
    }
    Err(OpenError::NoKeyOpens)
}
