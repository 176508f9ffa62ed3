#![doc = include_str!("../README.md")]

mod base64;
mod envelope;
mod error;
mod key;
mod key_hash;
mod key_provider;
mod key_ring;
mod sealed;
mod secretbox;
mod xaes;

pub use envelope::{Opened, Reading, Writing, open, seal, sealed_len};
pub use error::{KeyError, OpenError, SealError};
pub use key::{Key, KeyId};
pub use key_hash::KeyHash;
pub use key_provider::{KeyFile, KeyProvider};
pub use key_ring::KeyRing;
