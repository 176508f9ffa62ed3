//! A member of a group, as the broken transport has it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::{Delivery, Error, Health, Leave, Message, Room, Subscription, Ticket};

use crate::transport::{Bad, Flaw, Lent};

#[derive(Debug)]
pub(crate) struct Member {
    inner: Box<dyn Subscription>,
    bad: Bad,
    kept: Vec<Delivery>,
    open: Arc<()>,
}

impl Member {
    pub(crate) fn new(inner: Box<dyn Subscription>, bad: Bad) -> Self {
        let (kept, open) = (Vec::new(), Arc::new(()));
        Self {
            inner,
            bad,
            kept,
            open,
        }
    }

    async fn lend(bad: &Bad, open: &Arc<()>, delivery: Delivery) -> Delivery {
        let Delivery {
            mut record,
            origin,
            crash_count,
            failed,
            ticket,
            revoked,
            ..
        } = delivery;
        let ticket = match bad.flaw {
            Flaw::CommitsFirst => match ticket.settle(Vec::new()).await {
                Ok(_) => None,
                Err(not_settled) => Some(not_settled.ticket),
            },
            _ => Some(ticket),
        };
        if bad.flaw == Flaw::Invents {
            let mut message = Message::decode(record.payload.as_deref().unwrap()).unwrap();
            message.uuid = "nobody sent this".into();
            record.payload = Some(message.encode().unwrap());
        }
        let lent = Arc::new(Lent::new(ticket, bad.clone(), Arc::clone(open)));
        let delivery = Delivery::revocable(record, origin, Ticket::with_hand_in(0, lent), revoked);
        delivery.with_crash_count(crash_count).with_failed(failed)
    }
}

#[async_trait]
impl Subscription for Member {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        if matches!(self.bad.flaw, Flaw::Reorders | Flaw::GivesTooMuch) {
            // Of two that come soon after each other, the second goes first; or both are given, with room for one.
            let soon = Duration::from_millis(500);
            let first = self.inner.receive(room).await?;
            self.kept.extend(first);
            if let Ok(second) = tokio::time::timeout(soon, self.inner.receive(room)).await {
                self.kept.splice(0..0, second?);
            }
            let mut lent = Vec::new();
            for delivery in std::mem::take(&mut self.kept) {
                lent.push(Self::lend(&self.bad, &self.open, delivery).await);
            }
            return Ok(lent);
        }
        // Lent deliveries are settled first, however many places are free.
        while self.bad.flaw == Flaw::TakesOneAtATime && Arc::strong_count(&self.open) > 1 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let received = self.inner.receive(room).await?;
        assert!(self.bad.flaw != Flaw::Panics, "the transport has a mistake");
        let mut lent = Vec::new();
        for delivery in received {
            lent.push(Self::lend(&self.bad, &self.open, delivery).await);
        }
        Ok(lent)
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn leaver(&self) -> Option<Arc<dyn Leave>> {
        None
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        match self.bad.flaw {
            Flaw::LeavesSilently => Ok(()),
            _ => self.inner.close().await,
        }
    }
}
