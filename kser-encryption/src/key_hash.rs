use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::Key;

/// Hashes the keys of records, which stay readable otherwise, with a secret of its own.
///
/// The secret must not be rotated with the keys of messages: equal keys have equal hashes, by which their records keep their order, only
/// under one secret.
#[derive(Debug, Clone)]
pub struct KeyHash(Key);

impl KeyHash {
    /// Takes the secret.
    #[must_use]
    pub const fn new(secret: Key) -> Self {
        Self(secret)
    }

    /// Returns the hash of a record's key: HMAC-SHA-256, cut to 16 bytes, in hexadecimal digits.
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> String {
        // A key that is shorter than a block of the hash is filled up with zeros.
        let mut block = Zeroizing::new([0_u8; 64]);
        block[..Key::LENGTH].copy_from_slice(self.0.bytes());
        let mut hmac = Hmac::<Sha256>::new((&*block).into());
        hmac.update(key);
        let mut text = String::with_capacity(32);
        for byte in &hmac.finalize().into_bytes()[..16] {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_have_equal_hashes_under_one_secret_only() {
        let hash = |secret: u8, key: &str| {
            KeyHash::new(Key::from_bytes([secret; 32])).hash(key.as_bytes())
        };
        // From Python: hmac.new(bytes([1] * 32), b"customer-7", "sha256").hexdigest()[:32]
        assert_eq!(hash(1, "customer-7"), "72671e8077e0c010a866ac4611589363");
        assert_ne!(hash(1, "customer-7"), hash(1, "customer-8"));
        assert_ne!(hash(1, "customer-7"), hash(2, "customer-7"));
    }
}
