use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use kser_core::Error;
use kser_encryption::{KeyProvider, KeyRing};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// The shortest time between two loads for a missing key, whose message is tried again later in any case.
const MISSING: Duration = Duration::from_secs(5);

/// The keys of a client, loaded anew now and then.
pub(super) struct KeyCache {
    shared: Arc<Shared>,
    /// Loads the keys until the cache is dropped.
    refresh: Option<JoinHandle<()>>,
}

struct Shared {
    ring: RwLock<KeyRing>,
    /// `None` for keys that do not change.
    provider: Option<Arc<dyn KeyProvider>>,
    /// The time of the last load. It is held during a load, so that loads do not overlap.
    loaded: tokio::sync::Mutex<Instant>,
}

impl KeyCache {
    pub(super) fn fixed(ring: KeyRing) -> Self {
        Self {
            shared: Arc::new(Shared::new(ring, None)),
            refresh: None,
        }
    }

    /// Loads the keys, and again whenever they are older than `cached`.
    pub(super) async fn load(
        provider: Arc<dyn KeyProvider>,
        cached: Duration,
    ) -> Result<Self, Error> {
        let ring = provider.load().await?;
        let shared = Arc::new(Shared::new(ring, Some(provider)));
        let refresh = tokio::spawn(refresh(Arc::downgrade(&shared), cached));
        Ok(Self {
            shared,
            refresh: Some(refresh),
        })
    }

    pub(super) fn ring(&self) -> KeyRing {
        self.shared.ring().clone()
    }

    /// Loads the keys for a message that needs another one, unless they were loaded a moment ago. Says whether it has loaded them.
    pub(super) async fn load_missing(&self) -> bool {
        self.shared.load_after(MISSING).await
    }
}

impl Shared {
    fn new(ring: KeyRing, provider: Option<Arc<dyn KeyProvider>>) -> Self {
        Self {
            ring: RwLock::new(ring),
            provider,
            loaded: tokio::sync::Mutex::new(Instant::now()),
        }
    }

    fn ring(&self) -> std::sync::RwLockReadGuard<'_, KeyRing> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads the keys, unless that was done within `pause`. Keys that cannot be loaded stay in use.
    async fn load_after(&self, pause: Duration) -> bool {
        let Some(provider) = &self.provider else {
            return false;
        };
        let mut loaded = self.loaded.lock().await;
        if loaded.elapsed() < pause {
            return false;
        }
        *loaded = Instant::now();
        match provider.load().await {
            Ok(ring) => {
                self.replace(ring);
                true
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(target: "kser", error, "loading the keys failed; the keys loaded before stay in use");
                false
            }
        }
    }

    fn replace(&self, ring: KeyRing) {
        let before = self.ring().clone();
        if !before.ids().eq(ring.ids()) {
            let ids = |ring: &KeyRing| ring.ids().map(ToString::to_string).collect::<Vec<_>>();
            tracing::info!(target: "kser", before = ?ids(&before), after = ?ids(&ring), "the keys have changed; the first one writes");
        }
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }
}

/// Loads the keys of a cache that is alive.
async fn refresh(shared: Weak<Shared>, cached: Duration) {
    loop {
        sleep(cached).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        shared.load_after(cached / 2).await;
    }
}

impl Drop for KeyCache {
    fn drop(&mut self) {
        if let Some(refresh) = &self.refresh {
            refresh.abort();
        }
    }
}
