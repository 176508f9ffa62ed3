use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use kser_core::Error;
use kser_encryption::{KeyError, KeyProvider, KeyRing};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// The shortest time between two loads for a missing key, whose message is tried again later in any case.
const MISSING: Duration = Duration::from_secs(5);

/// The longest time of a load. A provider that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(10);

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
    /// The number of loads that have brought keys.
    loads: AtomicU64,
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
        let ring = load(&provider).await?;
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

    /// Loads the keys for a message that needs another one, unless they were loaded a moment ago. Says whether they were loaded
    /// meanwhile.
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
            loads: AtomicU64::new(0),
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
        let loads = self.loads.load(Ordering::Acquire);
        let mut loaded = self.loaded.lock().await;
        if loaded.elapsed() < pause {
            // Another message may have loaded them while this one has waited.
            return self.loads.load(Ordering::Acquire) != loads;
        }
        let answer = load(provider).await;
        // From its end on, since all that have waited for a slow provider would ask it again otherwise, one after the other.
        *loaded = Instant::now();
        match answer {
            Ok(ring) => {
                self.replace(ring);
                self.loads.fetch_add(1, Ordering::Release);
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

/// Asks a provider for the keys, on a task of its own: it may hang or panic.
async fn load(provider: &Arc<dyn KeyProvider>) -> Result<KeyRing, KeyError> {
    let failed = |source| KeyError::NotLoaded {
        from: format!("{provider:?}"),
        source,
    };
    let asked = Arc::clone(provider);
    let mut loading = AbortOnDrop(tokio::spawn(async move { asked.load().await }));
    match timeout(LIMIT, &mut loading.0).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if error.is_panic() => Err(failed("the key provider panicked".into())),
        Ok(Err(error)) => Err(failed(error.into())),
        Err(_) => Err(failed(format!("no answer within {LIMIT:?}").into())),
    }
}

/// A load that ends with the future that waits for it.
struct AbortOnDrop(JoinHandle<Result<KeyRing, KeyError>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
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
