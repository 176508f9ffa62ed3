use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kser_core::{Entrypoint, Error};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How long a client waits before it asks again.
const PAUSE: Duration = Duration::from_secs(1);

/// Params that may be sent more than once.
#[derive(Debug)]
pub(super) struct Shareable<P>(Arc<P>);

impl<P> Shareable<P> {
    pub(super) fn new(params: P) -> Self {
        Self(Arc::new(params))
    }
}

impl<P> Clone for Shareable<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Entrypoint> Entrypoint for Shareable<P> {
    const PATH: &'static str = P::PATH;
}

impl<P: Serialize> Serialize for Shareable<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, P: DeserializeOwned> Deserialize<'de> for Shareable<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        P::deserialize(deserializer).map(Self::new)
    }
}

/// Asks until the answer is certain, as a caller does that does not give up: a second launch of one id does no harm.
pub(super) async fn until_certain<T, Fut>(ask: impl Fn() -> Fut) -> Result<T, Error>
where
    Fut: Future<Output = Result<T, Error>>,
{
    loop {
        match ask().await {
            Err(error) if error.is_temporary() => tokio::time::sleep(PAUSE).await,
            certain => return certain,
        }
    }
}
