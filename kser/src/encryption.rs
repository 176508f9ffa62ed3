//! Encryption: envelopes around the bytes of messages and events, on every transport.
//!
//! [`ClientBuilder::encryption`](crate::client::ClientBuilder::encryption) switches it on. The [guide](crate::guide::encryption) has
//! the rotation of keys and the migration of topics.
//!
//! ```
//! use kser::encryption::{Encryption, KeyRing};
//! # use kser::task::Entrypoint;
//! # #[derive(serde::Serialize, serde::Deserialize, Entrypoint)]
//! # #[entrypoint("image.Resize")]
//! # struct Resize { width: u32 }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kser::Error> {
//! # let text = "2026-02:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
//! // Or `KeyRing::from_env()`, which reads `KSER_KEYS`.
//! let keys = KeyRing::parse(text)?;
//! let kser = kser::Client::builder_from_url("memory://")
//!     .encryption(Encryption::new(keys))
//!     .build()
//!     .await?;
//! kser.producer().send(Resize { width: 64 }).await?;
//! # Ok(())
//! # }
//! ```

mod key_cache;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kser_core::{Clock, Error, Timestamp, Topic};
pub use kser_encryption::{
    Key, KeyError, KeyFile, KeyHash, KeyId, KeyProvider, KeyRing, OpenError,
};
use kser_encryption::{Opened, Reading, SealError, Writing, open, seal, sealed_len};

use self::key_cache::KeyCache;
use crate::encryption_health::{EncryptionHealth, UsedKey};
use crate::payloads::{Cipher, Unopened};

/// The time for which loaded keys are cached unless another is set.
const CACHED: Duration = Duration::from_secs(60);

/// The encryption of a client: its keys, and its policy. Unless set otherwise, envelopes of version 2 are written, envelopes of both
/// versions are read, and a message that is not encrypted becomes a dead letter.
#[derive(Debug)]
pub struct Encryption {
    keys: Keys,
    cached: Duration,
    writing: Writing,
    reading: Reading,
    key_hash: Option<KeyHash>,
}

/// The source of the keys.
#[derive(Debug)]
enum Keys {
    Fixed(KeyRing),
    Provided(Arc<dyn KeyProvider>),
}

impl Encryption {
    /// Encrypts with these keys, which do not change while the program runs.
    #[must_use]
    pub const fn new(keys: KeyRing) -> Self {
        Self::of(Keys::Fixed(keys))
    }

    /// Encrypts with the keys that `provider` loads, such as a [`KeyFile`]: when the client is built, whenever they are older than
    /// 60 seconds, and when a message needs a key that is missing, at most every 5 seconds.
    #[must_use]
    pub fn with_provider(provider: impl KeyProvider) -> Self {
        Self::of(Keys::Provided(Arc::new(provider)))
    }

    const fn of(keys: Keys) -> Self {
        Self {
            keys,
            cached: CACHED,
            writing: Writing::Version2,
            reading: Reading::Require,
            key_hash: None,
        }
    }

    /// Sets the time for which loaded keys are cached, at least a second. Defaults to 60 seconds.
    #[must_use]
    pub const fn cached(mut self, cached: Duration) -> Self {
        self.cached = cached;
        self
    }

    /// Reads messages that are not encrypted, too, as during a migration.
    #[must_use]
    pub const fn allow_plain(mut self) -> Self {
        self.reading = Reading::AllowPlain;
        self
    }

    /// Writes envelopes of version 1, for consumers that use the Python package kser-crypto. It refuses version 2.
    #[must_use]
    pub const fn write_v1(mut self) -> Self {
        self.writing = Writing::Version1;
        self
    }

    /// Writes no envelopes, and reads both: the first step of a migration, after which every consumer can read them.
    #[must_use]
    pub const fn write_plain(mut self) -> Self {
        self.writing = Writing::Plain;
        self.allow_plain()
    }

    /// Compresses messages before they are encrypted, where that makes them smaller, in version 2. The length of a message then tells
    /// something about its content: do not compress messages that hold both a secret and a text of a stranger.
    #[must_use]
    pub const fn compress(mut self) -> Self {
        self.writing = Writing::Version2Compressed;
        self
    }

    /// Hashes the keys of records, which readers of the topic see otherwise, and which hold the ids of runs. The secret is not
    /// rotated: equal keys must have equal hashes to keep their order. All producers and consumers need the same.
    ///
    /// The report of an external step must then hand on `metadata.kser`, since its run is not found by the key of its record.
    #[must_use]
    pub fn hash_keys(mut self, secret: Key) -> Self {
        self.key_hash = Some(KeyHash::new(secret));
        self
    }

    /// Loads the keys, and makes the cipher of a client.
    pub(crate) async fn into_cipher(self, clock: Arc<dyn Clock>) -> Result<EnvelopeCipher, Error> {
        let keys = match self.keys {
            Keys::Fixed(ring) => KeyCache::fixed(ring),
            Keys::Provided(provider) => {
                let cached = self.cached.max(Duration::from_secs(1));
                KeyCache::load(provider, cached).await?
            }
        };
        Ok(EnvelopeCipher {
            keys,
            writing: self.writing,
            reading: self.reading,
            key_hash: self.key_hash,
            clock,
            counts: Mutex::default(),
        })
    }
}

/// Seals and opens the payloads of a client.
pub(crate) struct EnvelopeCipher {
    keys: KeyCache,
    writing: Writing,
    reading: Reading,
    key_hash: Option<KeyHash>,
    clock: Arc<dyn Clock>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    opened: BTreeMap<Option<KeyId>, (u64, Timestamp)>,
    refused: BTreeMap<&'static str, u64>,
}

impl EnvelopeCipher {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_opened(&self, key: &Option<KeyId>) {
        let now = self.clock.now();
        let mut counts = self.counts();
        match counts.opened.get_mut(key) {
            Some((payloads, last)) => (*payloads, *last) = (*payloads + 1, now),
            None => drop(counts.opened.insert(key.clone(), (1, now))),
        }
    }
}

#[async_trait]
impl Cipher for EnvelopeCipher {
    fn seal(&self, plain: Bytes, topic: &Topic) -> Result<Bytes, Error> {
        let sealed = seal(&self.keys.ring(), self.writing, plain, topic);
        sealed.map_err(|error: SealError| Error::Encode {
            source: error.into(),
        })
    }

    fn sealed_len(&self, plain: &Bytes, topic: &Topic, limit: usize) -> usize {
        let len = |writing| sealed_len(KeyId::MAX_LENGTH, writing, plain, topic);
        match self.writing {
            // No envelope is longer for its compression, so that few texts are compressed to be measured.
            Writing::Version2Compressed => {
                let largest = len(Writing::Version2);
                match largest <= limit {
                    true => largest,
                    false => len(Writing::Version2Compressed),
                }
            }
            writing => len(writing),
        }
    }

    fn open(&self, payload: &Bytes, topic: &Topic) -> Result<Bytes, Unopened> {
        match open(&self.keys.ring(), self.reading, payload, topic) {
            Ok(Opened { plain, key, .. }) => {
                self.count_opened(&key);
                Ok(plain)
            }
            Err(error) => {
                *self.counts().refused.entry(reason(&error)).or_default() += 1;
                Err(Unopened {
                    is_temporary: error.is_temporary(),
                    reason: error.to_string(),
                })
            }
        }
    }

    fn seal_row(&self, plain: Bytes, place: &Topic) -> Result<Bytes, Error> {
        // No other program reads a store, so that none needs version 1.
        let writing = match self.writing {
            Writing::Version1 => Writing::Version2,
            writing => writing,
        };
        let sealed = seal(&self.keys.ring(), writing, plain, place);
        sealed.map_err(|error| Error::Encode {
            source: error.into(),
        })
    }

    fn allows_plain(&self) -> bool {
        self.reading == Reading::AllowPlain
    }

    fn record_key(&self, key: Bytes) -> Bytes {
        match &self.key_hash {
            Some(hash) => hash.hash(&key).into(),
            None => key,
        }
    }

    async fn load_missing_key(&self) -> bool {
        self.keys.load_missing().await
    }

    fn health(&self) -> EncryptionHealth {
        let (ring, now) = (self.keys.ring(), self.clock.now());
        let counts = self.counts();
        let opened = counts.opened.iter().map(|(key, (payloads, last))| {
            let name = key.as_ref().map_or("plain", KeyId::as_str).to_owned();
            (name, UsedKey::new(*payloads, now.since(*last)))
        });
        EncryptionHealth {
            writing: (self.writing != Writing::Plain).then(|| ring.writing().to_string()),
            reading: ring.ids().map(ToString::to_string).collect(),
            opened: opened.collect(),
            refused: counts.refused.clone(),
        }
    }
}

/// Names the reason of an error in the health of a client.
const fn reason(error: &OpenError) -> &'static str {
    match error {
        OpenError::MissingKey { .. } => "missing_key",
        OpenError::NoKeyOpens => "no_key_opens",
        OpenError::Changed { .. } => "changed",
        OpenError::OtherTopic { .. } => "other_topic",
        OpenError::Plain => "plain",
        OpenError::NewerVersion { .. } => "newer_version",
        OpenError::TooLarge { .. } => "too_large",
        _ => "malformed",
    }
}

impl fmt::Debug for EnvelopeCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvelopeCipher")
            .field("writing", &self.writing)
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}
