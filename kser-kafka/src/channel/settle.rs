use std::sync::Arc;

use async_trait::async_trait;
use kser_core::{Error, Record, Settle, Timestamp};
use tokio::sync::oneshot;

use crate::channel::{PollChannel, RecordId};
use crate::cluster_clients::ClusterClients;

/// Settles the deliveries of one member: publishes the outputs, and then marks the record as done for the next commit.
#[derive(Debug)]
pub(crate) struct Settler {
    pub(crate) channel: Arc<PollChannel>,
    pub(crate) cluster: Arc<ClusterClients>,
}

#[async_trait]
impl Settle for Settler {
    async fn settle(&self, ticket: u128, outputs: &[Record]) -> Result<(), Error> {
        let id = RecordId::of_ticket(ticket);
        if !self.channel.is_live(id.assignment) {
            return Err(Error::Lost);
        }
        if !outputs.is_empty() {
            let published = self.cluster.publish(outputs).await;
            published.map_err(|source| Error::Unpublished { source })?;
        }
        self.channel.mark_done(id)
    }

    async fn begin(&self, ticket: u128) -> Result<(), Error> {
        let id = RecordId::of_ticket(ticket);
        if !self.channel.is_live(id.assignment) {
            return Err(Error::Lost);
        }
        let (answer, noted) = oneshot::channel();
        self.channel
            .command(|commands| commands.begun.push((id, answer)));
        // Without an answer the thread has ended, and the partition is lost.
        noted.await.unwrap_or(Err(Error::Lost))
    }

    /// The next commit stores the number of failed attempts if its metadata has room. Otherwise counting starts again after a
    /// stop.
    fn release(&self, ticket: u128, not_before: Option<Timestamp>, failed: u32) {
        let id = RecordId::of_ticket(ticket);
        self.channel.release(id, not_before, failed);
    }
}

/// Settles the deliveries of a reader without a group: publishes the outputs, and commits nothing.
#[derive(Debug)]
pub(crate) struct GrouplessSettler(pub(crate) Arc<ClusterClients>);

#[async_trait]
impl Settle for GrouplessSettler {
    async fn settle(&self, _: u128, outputs: &[Record]) -> Result<(), Error> {
        let published = self.0.publish(outputs).await;
        published.map_err(|source| Error::Unpublished { source })
    }

    async fn begin(&self, _: u128) -> Result<(), Error> {
        Ok(())
    }

    fn release(&self, _: u128, _: Option<Timestamp>, _: u32) {}
}
