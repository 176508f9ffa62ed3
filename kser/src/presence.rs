//! The consumers that are alive, as they announce themselves: see [`Client::announced_consumers`](crate::Client::announced_consumers).

mod commands;
mod topic;

use std::sync::Arc;
use std::time::Duration;

pub use kser_core::presence::{
    Announced, Command, CommandVerb, PRESENCE_EVERY, PRESENCE_KEPT, PRESENCE_SILENT, Presence,
    PresenceStore, PresentState, RunningTask, TaskProgress,
};
use kser_core::{Error, Topic};
use serde::{Serialize, Serializer};

pub(crate) use self::commands::KeptCommand;
pub(crate) use self::topic::TopicPresence;

/// A consumer that has announced itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AnnouncedConsumer {
    /// The announcement.
    pub presence: Presence,
    /// The age of the announcement.
    #[serde(rename = "age_ms", serialize_with = "millis")]
    pub age: Duration,
    /// Whether announcements are missing. The consumer may still work: its process, or the backend of the announcements, may be slow.
    pub is_silent: bool,
}

impl AnnouncedConsumer {
    /// Describes a consumer by its latest announcement, and the age of that.
    #[must_use]
    pub fn new(presence: Presence, age: Duration) -> Self {
        Self {
            presence,
            age,
            is_silent: age >= PRESENCE_SILENT,
        }
    }

    /// Returns the time for which an attempt of the consumer has run, as far as its announcement tells.
    #[must_use]
    pub fn running_for(&self, task: &RunningTask) -> Duration {
        self.presence.now.since(task.since) + self.age
    }

    /// Reads an announcement.
    fn read(announced: &Announced) -> Option<Self> {
        match Presence::parse(&announced.text) {
            Ok(presence) => Some(Self::new(presence, announced.age)),
            Err(error) => {
                let consumer = kser_core::log::clean(&announced.consumer, 200);
                tracing::warn!(target: "kser", %consumer, %error, "reading the announcement of a consumer failed; it is left out");
                None
            }
        }
    }
}

/// Where the consumers of a client announce themselves.
#[derive(Debug, Clone)]
pub(crate) struct PresencePlace {
    pub(crate) store: Arc<dyn PresenceStore>,
    /// The topic, unless a state store keeps the announcements.
    pub(crate) topic: Option<Topic>,
    /// The topic as the place that is followed.
    pub(crate) as_topic: Option<Arc<TopicPresence>>,
}

impl PresencePlace {
    /// Makes the place of announcements in a state store.
    pub(crate) const fn of_store(store: Arc<dyn PresenceStore>) -> Self {
        Self {
            store,
            topic: None,
            as_topic: None,
        }
    }

    /// Lists the consumers that announced themselves within [`PRESENCE_KEPT`].
    pub(crate) async fn list(&self) -> Result<Vec<AnnouncedConsumer>, Error> {
        let listed = self.store.list_consumers(PRESENCE_KEPT).await?;
        let consumers = listed
            .iter()
            .filter(|found| !Command::is_key(&found.consumer));
        Ok(consumers.filter_map(AnnouncedConsumer::read).collect())
    }
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    time.as_millis().serialize(serializer)
}
