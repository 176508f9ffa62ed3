use kser_core::{Error, Topic};

use crate::KeyId;

/// A key, or a list of keys, cannot be read. The text names no part of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text of a key is not base64.
    #[error("a key is not base64")]
    NotBase64,
    /// A key has another length.
    #[error("a key has {length} bytes, and needs 32")]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// An id has a character that none has, or a length that none has.
    #[error("the id of a key has 1 to 64 of the characters a-z A-Z 0-9 . _ -")]
    InvalidId,
    /// An entry of a list of keys is not of the form `id:base64`.
    #[error("entry {entry} of the keys is not of the form id:base64")]
    NotAnEntry {
        /// The number of the entry, counted from 1.
        entry: usize,
    },
    /// A key of a list cannot be read.
    #[error("entry {entry} of the keys cannot be read")]
    Entry {
        /// The number of the entry, counted from 1.
        entry: usize,
        /// The reason.
        source: Box<Self>,
    },
    /// Two keys have one id.
    #[error("the key id {id} occurs twice")]
    Duplicate {
        /// The id.
        id: KeyId,
    },
    /// There is no key.
    #[error("there is no key: {from}")]
    NoKey {
        /// The place that has none.
        from: String,
    },
    /// The keys could not be loaded, for now.
    #[error("loading the keys from {from} failed")]
    NotLoaded {
        /// The place of the keys.
        from: String,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<KeyError> for Error {
    fn from(error: KeyError) -> Self {
        if matches!(error, KeyError::NotLoaded { .. }) {
            return Self::Backend {
                backend: "keys",
                temporary: true,
                source: error.into(),
            };
        }
        let reason = match &error {
            KeyError::Entry { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        };
        Self::Invalid {
            what: "the keys of the encryption".to_owned(),
            reason,
        }
    }
}

/// Bytes cannot be sealed.
#[derive(Debug, thiserror::Error)]
#[error("the cipher refuses {size} bytes")]
#[non_exhaustive]
pub struct SealError {
    /// The number of bytes.
    pub size: usize,
}

/// A payload cannot be opened. The text names neither bytes of the payload nor of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The key of the envelope is not in the ring, as while a key is rotated.
    #[error("the key {id} is missing")]
    MissingKey {
        /// The id of the key.
        id: KeyId,
    },
    /// No key opens an envelope of version 1, which does not name its key.
    #[error("no key opens the envelope of version 1: its key is missing, or its text was changed")]
    NoKeyOpens,
    /// The envelope, or its text, is not as it was written.
    #[error("the text was changed, which was encrypted with the key {id}")]
    Changed {
        /// The id of the key.
        id: KeyId,
    },
    /// The envelope was written for another topic.
    #[error("the envelope was written for topic {written}, and was found in {found}")]
    OtherTopic {
        /// The topic that the envelope names.
        written: Topic,
        /// The topic in which it was found.
        found: Topic,
    },
    /// The payload is not encrypted, and the policy requires that it is.
    #[error("the message is not encrypted")]
    Plain,
    /// The envelope has a version that a newer program writes.
    #[error("the envelope has version {version}, which this program cannot open")]
    NewerVersion {
        /// The version.
        version: u64,
    },
    /// The payload has fields of an envelope, and is none.
    #[error("the envelope is malformed: {reason}")]
    Malformed {
        /// The fault.
        reason: &'static str,
    },
    /// The text would be larger than any message after its expansion.
    #[error("the compressed text has {size} bytes, over the limit of {limit}")]
    TooLarge {
        /// The size that the envelope tells.
        size: usize,
        /// The largest size.
        limit: usize,
    },
}

impl OpenError {
    /// Says whether a later try may succeed, because a key may still come or a newer program may take over.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::MissingKey { .. } | Self::NoKeyOpens | Self::NewerVersion { .. }
        )
    }
}
