use std::fmt::Debug;
use std::path::PathBuf;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::{KeyError, KeyRing};

/// Loads the keys of a client: from the environment, a file, or a service for keys.
///
/// # Contract
///
/// kser calls [`load`](Self::load) when the client is built, and later when the ring is older than the time for which it is cached, or
/// when an envelope names a key that the ring does not have. Calls of one client do not overlap. A load that takes longer than
/// 10 seconds, or panics, has failed, and its future is dropped. A ring that could not be loaded anew stays in use. A service that hands
/// out wrapped keys unwraps them in `load`.
///
/// ```
/// use kser_encryption::{KeyError, KeyProvider, KeyRing};
///
/// #[derive(Debug)]
/// struct Vault;
///
/// #[kser_core::async_trait]
/// impl KeyProvider for Vault {
///     async fn load(&self) -> Result<KeyRing, KeyError> {
///         KeyRing::parse(ask("secret/kser").await)
///     }
/// }
/// # async fn ask(_: &str) -> String { String::new() }
/// ```
#[async_trait]
pub trait KeyProvider: Debug + Send + Sync + 'static {
    /// Loads all keys.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when there are none, or they cannot be had for now.
    async fn load(&self) -> Result<KeyRing, KeyError>;
}

/// A ring that never changes.
#[async_trait]
impl KeyProvider for KeyRing {
    async fn load(&self) -> Result<Self, KeyError> {
        Ok(self.clone())
    }
}

/// Loads the keys from a file, in the form that [`KeyRing::parse`] reads. A changed file is noticed without a restart.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Names the file. It is read when the client is built.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

#[async_trait]
impl KeyProvider for KeyFile {
    async fn load(&self) -> Result<KeyRing, KeyError> {
        // A file of a few hundred bytes: no thread is needed.
        let text = std::fs::read_to_string(&self.path).map(Zeroizing::new);
        let text = text.map_err(|source| KeyError::NotLoaded {
            from: self.path.display().to_string(),
            source: source.into(),
        })?;
        KeyRing::parse(text.as_str())
    }
}

// The trait must stay usable as a trait object.
const _: Option<&dyn KeyProvider> = None;
