//! A subscription with one flaw.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use kser_core::{
    Cancellation, Delivery, Error, HandIn, Health, Interest, Leave, Room, Subscription, Ticket,
    Transport,
};

use crate::ticket::{BrokenTicket, at_once};
use crate::transport::{Broken, Flaw, KEY};

#[derive(Debug)]
pub(crate) struct Member {
    inner: Option<Box<dyn Subscription>>,
    /// What to subscribe to at the first receive.
    late: Option<Interest>,
    broken: Arc<Broken>,
}

impl Member {
    pub(crate) fn new(inner: Box<dyn Subscription>, broken: Arc<Broken>) -> Self {
        Self {
            inner: Some(inner),
            late: None,
            broken,
        }
    }

    pub(crate) fn late(interest: Interest, broken: Arc<Broken>) -> Self {
        Self {
            inner: None,
            late: Some(interest),
            broken,
        }
    }

    fn spoil(&self, mut delivery: Delivery) -> Delivery {
        match self.broken.flaw {
            Flaw::ForgetsFailures => delivery.failed = 0,
            Flaw::CountsNoCrashes => delivery.crash_count = 0,
            Flaw::CloseIsNoGoodbye => {
                delivery.crash_count += self.broken.closed.load(Ordering::Relaxed);
            }
            Flaw::NeverRevokes => delivery.revoked = Cancellation::default(),
            Flaw::BeginsEverything => {
                let _ = at_once(delivery.ticket.begin());
            }
            Flaw::IgnoresKeys => {
                let at = delivery
                    .record
                    .headers
                    .iter()
                    .position(|(name, _)| name == KEY);
                if let Some(at) = at {
                    delivery.record.key = delivery.record.headers.remove(at).1;
                }
            }
            _ => {}
        }
        let record = delivery.record.clone();
        let lent = BrokenTicket::new(delivery.ticket, record, Arc::clone(&self.broken));
        let hand_in: Arc<dyn HandIn> = Arc::new(lent);
        delivery.ticket = Ticket::with_hand_in(0, hand_in);
        delivery
    }
}

#[async_trait]
impl Subscription for Member {
    async fn receive(&mut self, mut room: Room) -> Result<Vec<Delivery>, Error> {
        match self.broken.flaw {
            Flaw::IgnoresRecords => room = Room::records(1000),
            Flaw::IgnoresBytes => room = Room::records(room.records),
            _ => {}
        }
        if let Some(interest) = self.late.take() {
            self.inner = Some(self.broken.inner.subscribe(interest).await?);
        }
        let inner = self.inner.as_mut().expect("it is open");
        let received = inner.receive(room).await?;
        let received = received.into_iter().map(|delivery| self.spoil(delivery));
        let received = ManuallyDrop::new(received.collect());
        if self.broken.flaw == Flaw::LosesWhenCancelled {
            tokio::task::yield_now().await;
        }
        Ok(ManuallyDrop::into_inner(received))
    }

    fn health(&self) -> Health {
        let inner = self.inner.as_ref();
        let mut health = inner.map(|inner| inner.health()).unwrap_or_default();
        if self.broken.flaw == Flaw::ObserversNeverCatchUp {
            health.lag = Some(1);
        }
        health
    }

    fn leaver(&self) -> Option<Arc<dyn Leave>> {
        match self.broken.flaw {
            Flaw::NeverLeaves => Some(Arc::new(Stays)),
            _ => self.inner.as_ref().and_then(|inner| inner.leaver()),
        }
    }

    async fn close(mut self: Box<Self>) -> Result<(), Error> {
        self.broken.closed.fetch_add(1, Ordering::Relaxed);
        let Some(mut inner) = self.inner.take() else {
            return Ok(());
        };
        match self.broken.flaw {
            Flaw::CloseDoesNotWait | Flaw::CloseForgetsHandIns => drop(inner),
            Flaw::CloseGoesOnReceiving => {
                tokio::spawn(async move {
                    while let Ok(received) = inner.receive(Room::records(10)).await {
                        std::mem::forget(received);
                    }
                });
            }
            _ => inner.close().await?,
        }
        Ok(())
    }
}

/// Says that it has left.
#[derive(Debug)]
struct Stays;

#[async_trait]
impl Leave for Stays {
    async fn leave(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.broken.flaw == Flaw::NoticesNoDeath {
            std::mem::forget(self.inner.take());
        }
    }
}
