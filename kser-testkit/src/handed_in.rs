use std::sync::Arc;
use std::time::Duration;

use kser_core::{HandInReports, Record, ReturnedDelivery, Settled, Ticket, Told};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};

use crate::TransportHarness;

/// Hands deliveries in, and receives their results.
#[derive(Debug)]
pub(crate) struct HandInDesk {
    reports: Arc<dyn HandInReports>,
    told: UnboundedReceiver<Told>,
    patience: Duration,
}

/// The place of a delivery that was handed in, and its end.
pub(crate) type Reported = (u64, Result<Settled, Box<ReturnedDelivery>>);

#[derive(Debug)]
struct Reports(UnboundedSender<Told>);

impl HandInReports for Reports {
    fn report(&self, told: Told) {
        let _ = self.0.send(told);
    }
}

impl HandInDesk {
    pub(crate) fn new(harness: &TransportHarness) -> Self {
        let (reports, told) = unbounded_channel();
        Self {
            reports: Arc::new(Reports(reports)),
            told,
            patience: harness.capabilities().patience,
        }
    }

    /// Makes one for a transport that takes hand-ins; `None` for another.
    pub(crate) async fn of_taking(harness: &TransportHarness) -> Option<Self> {
        let takes = harness.describe().await.hand_ins;
        takes.then(|| Self::new(harness))
    }

    /// Hands a delivery in, once.
    pub(crate) fn try_hand_in(
        &self,
        ticket: Ticket,
        outputs: Vec<Record>,
        place: u64,
    ) -> Result<(), (Ticket, Vec<Record>)> {
        ticket.hand_in(outputs, place, &self.reports).map(drop)
    }

    /// Hands a delivery in, again while the transport does not take it.
    pub(crate) async fn hand_in(&self, ticket: Ticket, outputs: Vec<Record>, place: u64) {
        let until = Instant::now() + self.patience;
        let (mut ticket, mut outputs) = (ticket, outputs);
        while let Err(back) = self.try_hand_in(ticket, outputs, place) {
            assert!(Instant::now() < until, "a hand-in is taken in time");
            (ticket, outputs) = back;
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for a result.
    pub(crate) async fn next(&mut self) -> Reported {
        let told = timeout(self.patience, self.told.recv()).await;
        let told = told.expect("a result is reported in time");
        let told = told.expect("the desk has a sender");
        (told.place, told.result)
    }

    /// Waits for a delivery that was settled, and returns its place.
    pub(crate) async fn next_settled(&mut self) -> u64 {
        let (place, result) = self.next().await;
        let settled = result.unwrap_or_else(|returned| {
            panic!("{place} comes back: {:?}", returned.unpublished);
        });
        assert!(
            !settled.is_lost(),
            "{place} is held, and its result says lost"
        );
        assert!(
            !settled.is_released(),
            "{place} is released, and not settled"
        );
        place
    }

    /// Waits until the delivery at a place is settled, which is the next to be reported.
    pub(crate) async fn is_settled(&mut self, place: u64) {
        assert_eq!(self.next_settled().await, place);
    }

    /// Checks that nothing more was reported.
    pub(crate) fn is_silent(&mut self) {
        if let Ok(told) = self.told.try_recv() {
            panic!("this was reported again: {told:?}");
        }
    }
}
