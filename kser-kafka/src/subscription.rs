use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::{Delivery, Error, Health, Room, Settle, Subscription};
use tokio::sync::oneshot;

use crate::link::Link;

/// Receives what a thread polls.
#[derive(Debug)]
pub(crate) struct KafkaSubscription {
    pub(crate) link: Arc<Link>,
    /// The member that sends on the records that wait, if any can.
    pub(crate) waits: Option<Arc<Link>>,
    pub(crate) settle: Arc<dyn Settle>,
    /// The shortest of its topics.
    pub(crate) retention: Option<Duration>,
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        let mut received = pin!(self.link.receive(room, &self.settle));
        let Some(waits) = &self.waits else {
            return received.await;
        };
        // Nothing comes from there but why it has ended.
        let mut ended = pin!(waits.receive(room, &self.settle));
        std::future::poll_fn(|cx| match ended.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => received.as_mut().poll(cx),
        })
        .await
    }

    fn health(&self) -> Health {
        let mut health = self.link.health();
        health.retention = self.retention;
        health
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        let ask = |link: &Link| {
            let (answer, closed) = oneshot::channel();
            link.order(|orders| orders.close = Some(answer));
            closed
        };
        let closing = [
            Some(ask(&self.link)),
            self.waits.as_ref().map(|link| ask(link)),
        ];
        let mut all = Ok(());
        for closed in closing.into_iter().flatten() {
            // The thread that would answer has ended before: there is nothing to leave any more.
            all = all.and(closed.await.unwrap_or(Ok(())));
        }
        all
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        for link in [Some(&self.link), self.waits.as_ref()]
            .into_iter()
            .flatten()
        {
            link.order(|orders| orders.dropped = true);
        }
    }
}
