use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// The encryption of a client: the payloads that all of its consumers and observers have opened since it was built.
///
/// A key is in use while its [`last_opened`](UsedKey::last_opened) is recent. It is drained once that no longer changes and the oldest
/// waiting record of every consumer was published after the last writer has switched to another key; delayed records, dead letters
/// and unfinished runs may still need it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EncryptionHealth {
    /// The id of the key that writes; `None` while no payload is encrypted.
    pub writing: Option<String>,
    /// The ids of the keys that read.
    pub reading: Vec<String>,
    /// The keys that opened payloads, by their ids. Payloads that were not encrypted count under `plain`.
    pub opened: BTreeMap<String, UsedKey>,
    /// The numbers of payloads that could not be opened, by the reason: `missing_key`, `no_key_opens` (version 1 does not name its key),
    /// `changed`, `other_topic`, `plain`, `newer_version`, `malformed` and `too_large`. A record that waits for a key counts each time
    /// that it is tried.
    pub refused: BTreeMap<&'static str, u64>,
}

/// The use of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UsedKey {
    /// The number of payloads that it opened.
    pub payloads: u64,
    /// The time since it opened the last one.
    #[serde(rename = "last_opened_ms", serialize_with = "millis")]
    pub last_opened: Duration,
}

impl UsedKey {
    #[cfg(feature = "encryption")]
    pub(crate) const fn new(payloads: u64, last_opened: Duration) -> Self {
        Self {
            payloads,
            last_opened,
        }
    }
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    time.as_millis().serialize(serializer)
}
