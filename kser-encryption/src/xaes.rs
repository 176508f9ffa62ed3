//! XAES-256-GCM as C2SP specifies it: AES-256-GCM with nonces of 192 random bits, each under a key that is derived from its key and
//! the first half of its nonce.
//!
//! With random nonces of 96 bits, a key of AES-GCM may encrypt 2^32 messages. Here it may encrypt 2^80, so that none are counted.

use aes_gcm::aead::{AeadInOut, Error, KeyInit};
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::aes::{Aes256, Block};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use zeroize::Zeroizing;

/// The length of a nonce in bytes.
pub(crate) const NONCE: usize = 24;

/// The length of a tag in bytes.
pub(crate) const TAG: usize = 16;

/// A key, expanded.
pub(crate) struct Xaes {
    cipher: Aes256,
    /// The subkey K1 of CMAC, by which keys are derived.
    subkey: Zeroizing<u128>,
}

impl Xaes {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let cipher = Aes256::new(key.into());
        let mut block = Block::default();
        cipher.encrypt_block(&mut block);
        let encrypted = Zeroizing::new(u128::from_be_bytes(block.into()));
        // Doubles the block in the field of CMAC.
        let subkey = (*encrypted << 1) ^ ((*encrypted >> 127) * 0x87);
        Self {
            cipher,
            subkey: Zeroizing::new(subkey),
        }
    }

    /// Encrypts a text in place, and returns its tag.
    pub(crate) fn encrypt(
        &self,
        nonce: &[u8; NONCE],
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; TAG], Error> {
        let (cipher, nonce) = self.derive(nonce);
        let tag = cipher.encrypt_inout_detached(&nonce, associated, text.into())?;
        Ok(tag.into())
    }

    /// Decrypts a text in place, unless its tag is another.
    pub(crate) fn decrypt(
        &self,
        nonce: &[u8; NONCE],
        associated: &[u8],
        text: &mut [u8],
        tag: [u8; TAG],
    ) -> Result<(), Error> {
        let (cipher, nonce) = self.derive(nonce);
        cipher.decrypt_inout_detached(&nonce, associated, text.into(), &Tag::from(tag))
    }

    /// Returns the cipher and the nonce of AES-256-GCM.
    fn derive(&self, nonce: &[u8; NONCE]) -> (Aes256Gcm, Nonce<aes_gcm::aead::consts::U12>) {
        let mut halves = [Block::default(); 2];
        let (first, last) = nonce.split_at(NONCE / 2);
        for (half, counter) in halves.iter_mut().zip(1..) {
            half[..4].copy_from_slice(&[0, counter, b'X', 0]);
            half[4..].copy_from_slice(first);
            *half = (u128::from_be_bytes((*half).into()) ^ *self.subkey)
                .to_be_bytes()
                .into();
        }
        self.cipher.encrypt_blocks(&mut halves);
        let mut key = Zeroizing::new([0; 32]);
        for (half, block) in key.chunks_exact_mut(16).zip(&mut halves) {
            half.copy_from_slice(block);
            block.fill(0);
        }
        let mut nonce = Nonce::default();
        nonce.copy_from_slice(last);
        (Aes256Gcm::new((&*key).into()), nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE_OF_TESTS: &[u8; NONCE] = b"ABCDEFGHIJKLMNOPQRSTUVWX";

    /// The two test vectors of the specification, one for each value of the bit that the doubling shifts out.
    #[test]
    fn the_vectors_of_the_specification_hold() {
        let vectors = [
            (
                1,
                "",
                "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
            ),
            (
                3,
                "c2sp.org/XAES-256-GCM",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ];
        for (byte, associated, expected) in vectors {
            let key = Xaes::new(&[byte; 32]);
            let mut text = b"XAES-256-GCM".to_vec();
            let tag = key.encrypt(NONCE_OF_TESTS, associated.as_bytes(), &mut text);
            let tag = tag.unwrap();
            let hex = data_encoding::HEXLOWER.encode(&[&text[..], &tag].concat());
            assert_eq!(hex, expected);
            let opened = key.decrypt(NONCE_OF_TESTS, associated.as_bytes(), &mut text, tag);
            assert!(opened.is_ok());
            assert_eq!(text, b"XAES-256-GCM");
        }
    }

    #[test]
    fn each_half_of_the_nonce_counts() {
        let key = Xaes::new(&[1; 32]);
        let mut text = b"XAES-256-GCM".to_vec();
        let tag = key.encrypt(NONCE_OF_TESTS, b"", &mut text).unwrap();
        for at in 0..NONCE {
            let mut other = *NONCE_OF_TESTS;
            other[at] ^= 1;
            assert!(key.decrypt(&other, b"", &mut text.clone(), tag).is_err());
        }
    }
}
