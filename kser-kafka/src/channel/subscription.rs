use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::{Delivery, Error, HandIn, Health, Leave, Room, Subscription, UnfitTopic};
use tokio::sync::oneshot;

use crate::channel::PollChannel;

/// The receiving side of a poll thread, or of two if the topics have delay topics.
#[derive(Debug)]
pub(crate) struct KafkaSubscription {
    pub(crate) channel: Arc<PollChannel>,
    /// The member that forwards delayed records, if the topics have delay topics.
    pub(crate) waits: Option<Arc<PollChannel>>,
    pub(crate) settle: Arc<dyn HandIn>,
    /// The shortest retention of its topics.
    pub(crate) retention: Option<Duration>,
    /// Delay topics whose settings put records at risk.
    pub(crate) unfit: Vec<UnfitTopic>,
    /// The time for which readers of its outputs may wait after a kill.
    pub(crate) readers_wait: Option<Duration>,
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        let mut received = pin!(self.channel.receive(room, &self.settle));
        let Some(waits) = &self.waits else {
            return received.await;
        };
        // The member of the delay topics delivers no records, only its end.
        let mut ended = pin!(waits.receive(room, &self.settle));
        std::future::poll_fn(|cx| match ended.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => received.as_mut().poll(cx),
        })
        .await
    }

    fn health(&self) -> Health {
        let mut health = self.channel.health();
        if let Some(waits) = &self.waits {
            let mut waits = waits.health();
            health.held.append(&mut waits.held);
            health.delays = waits.delays;
            health.not_in_group.append(&mut waits.not_in_group);
            health.deleted += waits.deleted;
            health.resets += waits.resets;
        }
        health.retention = self.retention;
        health.unfit.clone_from(&self.unfit);
        health.readers_wait_after_kill = self.readers_wait;
        health
    }

    fn leaver(&self) -> Option<Arc<dyn Leave>> {
        Some(Arc::new(GroupLeaver {
            channel: Arc::clone(&self.channel),
            waits: self.waits.clone(),
        }))
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        close(&self.channel, self.waits.as_deref(), false).await
    }
}

/// Leaves the groups of a subscription at once.
#[derive(Debug)]
struct GroupLeaver {
    channel: Arc<PollChannel>,
    waits: Option<Arc<PollChannel>>,
}

#[async_trait]
impl Leave for GroupLeaver {
    async fn leave(&self) -> Result<(), Error> {
        close(&self.channel, self.waits.as_deref(), true).await
    }
}

async fn close(
    channel: &PollChannel,
    waits: Option<&PollChannel>,
    at_once: bool,
) -> Result<(), Error> {
    let ask = |channel: &PollChannel| {
        let (answer, closed) = oneshot::channel();
        channel.command(|commands| {
            commands.close = Some(answer);
            commands.at_once |= at_once;
        });
        closed
    };
    let closing = [Some(ask(channel)), waits.map(ask)];
    let mut all = Ok(());
    for closed in closing.into_iter().flatten() {
        // Without an answer the thread has ended before, and has left its group.
        all = all.and(closed.await.unwrap_or(Ok(())));
    }
    all
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        for channel in [Some(&self.channel), self.waits.as_ref()]
            .into_iter()
            .flatten()
        {
            channel.command(|commands| commands.dropped = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use kser_core::{Record, Settle};

    use super::*;
    use crate::channel::RecordId;

    #[derive(Debug)]
    struct Nobody;

    #[async_trait]
    impl Settle for Nobody {
        async fn settle(&self, _: u128, _: &[Record]) -> Result<(), Error> {
            Ok(())
        }

        async fn begin(&self, _: u128) -> Result<(), Error> {
            Ok(())
        }

        fn release(&self, _: u128, _: Option<kser_core::Timestamp>, _: u32) {}
    }

    impl HandIn for Nobody {
        fn hand_in(&self, ended: kser_core::EndedDelivery) -> Result<(), kser_core::EndedDelivery> {
            Err(ended)
        }
    }

    fn subscription() -> Box<KafkaSubscription> {
        Box::new(KafkaSubscription {
            channel: Arc::default(),
            waits: None,
            settle: Arc::new(Nobody),
            retention: None,
            unfit: Vec::new(),
            readers_wait: None,
        })
    }

    /// Polls once.
    async fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn close_returns_after_the_thread_has_ended() {
        let subscription = subscription();
        subscription.channel.finish(Error::Closed);
        assert!(
            now(subscription.close())
                .await
                .is_some_and(|closed| closed.is_ok())
        );
    }

    #[tokio::test]
    async fn a_panic_of_the_thread_ends_the_subscription() {
        let mut subscription = subscription();
        let channel = Arc::clone(&subscription.channel);
        let panicked = channel.guard("polling", || panic!("on demand"));
        assert_eq!(panicked, None::<()>);
        let received = now(subscription.receive(Room::records(1))).await;
        let error = received.expect("it has ended").unwrap_err();
        assert!(error.report().contains("polling"), "{error}");
    }

    #[tokio::test]
    async fn what_was_asked_for_when_the_thread_ends_is_answered() {
        let subscription = subscription();
        let (answer, asked) = oneshot::channel();
        let id = RecordId {
            assignment: 1,
            offset: 0,
        };
        let channel = &subscription.channel;
        channel.command(|commands| commands.begun.push((id, answer)));
        channel.finish(Error::Closed);
        assert!(now(asked).await.is_some_and(|answered| answered.is_err()));
    }
}
