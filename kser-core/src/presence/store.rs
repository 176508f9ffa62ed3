use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::Error;

/// Keeps the latest announcement of each consumer. A state store has one ([`StateStore::presence`](crate::StateStore::presence)), and
/// the section "Presence" of its contract has the rules; on a transport without a store it is a topic.
///
/// An announcement is a hint for operators, and may be lost: no run depends on it. The commands of operators are kept beside the
/// announcements, under keys of their own ([`Command::key`](super::Command::key)).
#[async_trait]
pub trait PresenceStore: Debug + Send + Sync + 'static {
    /// Writes the announcement of a consumer, in place of its earlier one. An announcement that is older than
    /// [`PRESENCE_KEPT`](super::PRESENCE_KEPT) may be removed meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the backend does not answer, [`Error::MissingTopic`] when the topic of the announcements does not
    /// exist.
    async fn announce(&self, consumer: &str, text: String) -> Result<(), Error>;

    /// Removes the announcement of a consumer that stops.
    ///
    /// # Errors
    ///
    /// As [`announce`](Self::announce).
    async fn withdraw(&self, consumer: &str) -> Result<(), Error>;

    /// Lists the announcements that are no older than `within`, by consumer.
    ///
    /// # Errors
    ///
    /// As [`announce`](Self::announce).
    async fn list_consumers(&self, within: Duration) -> Result<Vec<Announced>, Error>;
}

/// An announcement as a backend keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Announced {
    /// The id of the consumer.
    pub consumer: String,
    /// The announcement, byte for byte.
    pub text: String,
    /// The time since it was written, by the clock of the backend.
    pub age: Duration,
}

impl Announced {
    /// States an announcement, on behalf of a backend.
    #[must_use]
    pub const fn new(consumer: String, text: String, age: Duration) -> Self {
        Self {
            consumer,
            text,
            age,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: PresenceStore + ?Sized> PresenceStore for Arc<T> {
    async fn announce(&self, consumer: &str, text: String) -> Result<(), Error> {
        (**self).announce(consumer, text).await
    }

    async fn withdraw(&self, consumer: &str) -> Result<(), Error> {
        (**self).withdraw(consumer).await
    }

    async fn list_consumers(&self, within: Duration) -> Result<Vec<Announced>, Error> {
        (**self).list_consumers(within).await
    }
}

// The trait must stay usable as a trait object.
const _: Option<&dyn PresenceStore> = None;
