use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::KeyError;
use crate::base64;
use crate::xaes::Xaes;

/// A secret of 32 bytes. It is zeroed when its last clone is dropped, and no `Debug` shows it.
#[derive(Clone)]
pub struct Key(Arc<Secret>);

struct Secret {
    bytes: Zeroizing<[u8; Key::LENGTH]>,
    xaes: Xaes,
}

impl Key {
    /// The length of a key in bytes.
    pub const LENGTH: usize = 32;

    /// Takes the bytes of a key. The caller zeroes its own copy.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self::of(Zeroizing::new(bytes))
    }

    fn of(bytes: Zeroizing<[u8; Self::LENGTH]>) -> Self {
        let xaes = Xaes::new(&bytes);
        Self(Arc::new(Secret { bytes, xaes }))
    }

    /// Reads a key from base64, as `head -c 32 /dev/urandom | base64` writes it: with or without a line end, and as leniently as
    /// kser-crypto does.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotBase64`] and [`KeyError::Length`].
    pub fn from_base64(text: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let mut decoded = Zeroizing::new(Vec::with_capacity(text.as_ref().len()));
        if !base64::decode_lenient(text.as_ref(), &mut decoded) {
            return Err(KeyError::NotBase64);
        }
        let mut bytes = Zeroizing::new([0; Self::LENGTH]);
        match decoded.len() {
            Self::LENGTH => bytes.copy_from_slice(&decoded),
            length => return Err(KeyError::Length { length }),
        }
        Ok(Self::of(bytes))
    }

    /// Makes a random key, as for a test.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; Self::LENGTH]);
        rand::fill(&mut bytes[..]);
        Self::of(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0.bytes
    }

    /// Returns the key as version 2 uses it.
    pub(crate) fn xaes(&self) -> &Xaes {
        &self.0.xaes
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Names a key in envelopes, logs and health: 1 to 64 of the characters `a-z A-Z 0-9 . _ -`. It is no secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// The longest id, in characters.
    pub const MAX_LENGTH: usize = 64;

    /// Takes an id.
    ///
    /// # Errors
    ///
    /// [`KeyError::InvalidId`] when the id is empty, too long, or has another character.
    pub fn new(id: impl AsRef<str>) -> Result<Self, KeyError> {
        let id = id.as_ref();
        match is_name(id, Self::MAX_LENGTH) {
            true => Ok(Self(id.into())),
            false => Err(KeyError::InvalidId),
        }
    }

    /// Returns the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Says whether a text has 1 to `longest` of the characters that topics and key ids have.
pub(crate) fn is_name(text: &str, longest: usize) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=longest).contains(&text.len()) && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown() {
        let key = Key::from_bytes([7; 32]);
        assert_eq!(format!("{key:?} {key:#?}"), "Key(..) Key(..)");
    }

    #[test]
    fn a_key_has_32_bytes() {
        for length in [0, 16, 31, 33] {
            let text = data_encoding::BASE64.encode(&vec![7; length]);
            let error = Key::from_base64(text).unwrap_err();
            assert!(matches!(error, KeyError::Length { length: found } if found == length));
        }
        let text = data_encoding::BASE64.encode(&[7; 32]);
        for text in [text.clone(), format!("{text}\n"), format!(" {text}\r\n")] {
            assert_eq!(Key::from_base64(text).unwrap().bytes(), &[7; 32]);
        }
        let unpadded = text.trim_end_matches('=');
        assert!(matches!(
            Key::from_base64(unpadded),
            Err(KeyError::NotBase64)
        ));
    }

    #[test]
    fn an_id_has_the_characters_of_a_topic() {
        let longest = "k".repeat(64);
        for id in ["k", "2026-02", "a.b_C", &longest] {
            assert_eq!(KeyId::new(id).unwrap().as_str(), id);
        }
        for id in ["", "a b", "a:b", "a,b", "é", "\"", &format!("{longest}k")] {
            assert!(KeyId::new(id).is_err(), "{id}");
        }
    }
}
