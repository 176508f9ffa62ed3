//! A store of announcements with one flaw.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::Error;
use kser_core::presence::{Announced, PRESENCE_KEPT, PresenceStore};
use kser_memory::MemoryStore;

use crate::store::Slip;

#[derive(Debug)]
pub(crate) struct SloppyPresence {
    pub(crate) inner: MemoryStore,
    pub(crate) slip: Slip,
}

#[async_trait]
impl PresenceStore for SloppyPresence {
    async fn announce(&self, consumer: &str, text: String) -> Result<(), Error> {
        let all = self.inner.list_consumers(PRESENCE_KEPT).await?;
        let is_known = all.iter().any(|found| found.consumer == consumer);
        match self.slip {
            Slip::KeepsTheFirstAnnouncement if is_known => Ok(()),
            _ => self.inner.announce(consumer, text).await,
        }
    }

    async fn withdraw(&self, consumer: &str) -> Result<(), Error> {
        match self.slip {
            Slip::IgnoresWithdrawals => Ok(()),
            _ => self.inner.withdraw(consumer).await,
        }
    }

    async fn list_consumers(&self, within: Duration) -> Result<Vec<Announced>, Error> {
        let within = match self.slip {
            Slip::ListsAllAnnouncements => PRESENCE_KEPT,
            _ => within,
        };
        let listed = self.inner.list_consumers(within).await?;
        if self.slip == Slip::ListingForgets {
            for found in &listed {
                self.inner.withdraw(&found.consumer).await?;
            }
        }
        Ok(listed)
    }
}

impl SloppyPresence {
    pub(crate) fn of(inner: &MemoryStore, slip: Slip) -> Arc<dyn PresenceStore> {
        let inner = inner.clone();
        Arc::new(Self { inner, slip })
    }
}
