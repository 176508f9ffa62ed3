use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::presence::{Announced, PRESENCE_KEPT, PresenceStore};
use kser_core::{Error, Timestamp};

use super::MemoryStore;

/// The announcements of consumers, by their ids, with the time of each.
pub(super) type Announcements = BTreeMap<String, (Timestamp, String)>;

#[async_trait]
impl PresenceStore for MemoryStore {
    async fn announce(&self, consumer: &str, text: String) -> Result<(), Error> {
        let now = self.runs().now();
        let mut all = self.announcements();
        all.retain(|_, (at, _)| now.since(*at) <= PRESENCE_KEPT);
        all.insert(consumer.to_owned(), (now, text));
        Ok(())
    }

    async fn withdraw(&self, consumer: &str) -> Result<(), Error> {
        self.announcements().remove(consumer);
        Ok(())
    }

    async fn list_consumers(&self, within: Duration) -> Result<Vec<Announced>, Error> {
        let now = self.runs().now();
        let all = self.announcements();
        let listed = all.iter().map(|(consumer, (at, text))| {
            Announced::new(consumer.clone(), text.clone(), now.since(*at))
        });
        Ok(listed.filter(|found| found.age <= within).collect())
    }
}
