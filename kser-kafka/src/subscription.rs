use std::sync::Arc;

use async_trait::async_trait;
use kser_core::{Delivery, Error, Health, Room, Settle, Subscription};
use tokio::sync::oneshot;

use crate::link::Link;

/// Receives what a thread polls.
#[derive(Debug)]
pub(crate) struct KafkaSubscription {
    pub(crate) link: Arc<Link>,
    pub(crate) settle: Arc<dyn Settle>,
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        self.link.receive(room, &self.settle).await
    }

    fn health(&self) -> Health {
        self.link.health()
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        let (answer, closed) = oneshot::channel();
        self.link.order(|orders| orders.close = Some(answer));
        // The thread that would answer has ended before: there is nothing to leave any more.
        closed.await.unwrap_or(Ok(()))
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.link.order(|orders| orders.dropped = true);
    }
}
