use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kser_core::{Delivery, Error, Interest, Room, RunId, Subscription, Timestamp};
use tokio::time::timeout;

use crate::engine::event::RunEvent;
use crate::engine::event_watcher::replaces;
use crate::payloads::Payloads;
use crate::shared::Shared;

/// The number of events that are received at once.
const ROOM: usize = 256;

/// The pause between two looks at whether the log has been read to its end.
const LOOK: Duration = Duration::from_millis(20);

/// The pause after a temporary error.
const PAUSE: Duration = Duration::from_secs(1);

/// The events of all runs, as [`Client::events`](crate::Client::events) opens them: those of one run in their order.
#[derive(Debug)]
#[must_use = "events are received by `next`"]
pub struct Events {
    subscription: Box<dyn Subscription>,
    /// The deliveries that are not settled yet: some only if a call was dropped in between.
    received: VecDeque<Delivery>,
    events: VecDeque<RunEvent>,
    payloads: Payloads,
}

impl Events {
    pub(crate) async fn open(shared: &Shared, from: Timestamp) -> Result<Self, Error> {
        shared.ready().await?;
        let interest = Interest::since(vec![shared.writer.routes.events()?], from);
        Ok(Self {
            subscription: shared.transport.subscribe(interest).await?,
            received: VecDeque::new(),
            events: VecDeque::new(),
            payloads: shared.writer.payloads.clone(),
        })
    }

    /// Waits for the next event. A second event of one run and version is a repetition.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] when the backend does not answer: after an error that [is temporary](Error::is_temporary) the
    /// events go on, after any other they have ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Result<RunEvent, Error> {
        loop {
            if let Some(event) = self.take().await {
                return Ok(event);
            }
            let received = self.subscription.receive(Room::records(ROOM)).await?;
            self.received.extend(received);
        }
    }

    /// Returns the next event of those that were in the log when the events were opened; `None` once all of them were
    /// returned. Events that were published meanwhile may be among them.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn next_past(&mut self) -> Result<Option<RunEvent>, Error> {
        loop {
            if let Some(event) = self.take().await {
                return Ok(Some(event));
            }
            // Asked before the receive, which then finds all that was handed out.
            let is_read = self.subscription.health().lag == Some(0);
            match timeout(LOOK, self.subscription.receive(Room::records(ROOM))).await {
                Ok(received) => self.received.extend(received?),
                Err(_) if is_read => return Ok(None),
                Err(_) => {}
            }
        }
    }

    /// Waits for the end of a run.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRun`] when the log as it was when the events were opened has no event of it. Otherwise as
    /// [`next`](Self::next).
    pub(crate) async fn end_of(mut self, run: &RunId) -> Result<RunEvent, Error> {
        let mut latest: Option<RunEvent> = None;
        let mut is_past = true;
        loop {
            let next = match is_past {
                true => self.next_past().await,
                false => self.next().await.map(Some),
            };
            match next {
                Ok(Some(event)) if event.run == *run && replaces(latest.as_ref(), &event) => {
                    latest = Some(event);
                }
                Ok(Some(_)) => {}
                Ok(None) => is_past = false,
                Err(error) if error.is_temporary() => {
                    tracing::warn!(
                        target: "kser", ?run, error = kser_core::log::report(&error),
                        "receiving events failed; retrying in {PAUSE:?}",
                    );
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
            if is_past {
                // A replay may follow the end.
                continue;
            }
            match &latest {
                Some(event) if event.status.is_terminal() => return Ok(event.clone()),
                Some(_) => {}
                None => return Err(Error::UnknownRun { id: run.clone() }),
            }
        }
    }

    /// Takes the next received event. A record that is none is left out, with a warning.
    async fn take(&mut self) -> Option<RunEvent> {
        // All at once, so that nothing is left unsettled when the caller wants no more.
        while let Some(delivery) = self.received.pop_front() {
            match RunEvent::read(&delivery.record, &self.payloads).await {
                Ok(event) => self.events.push_back(event),
                Err(error) => tracing::warn!(
                    target: "kser", error = kser_core::log::report(&error),
                    "reading an event failed; it is left out",
                ),
            }
            let _ = delivery.ticket.settle(Vec::new()).await;
        }
        self.events.pop_front()
    }
}

/// Waits for the end of a run through the events since `from`.
///
/// # Errors
///
/// [`Error::UnknownRun`] when there is no event of it, [`Error::ConsumerFailed`] when a consumer of this client has
/// failed and no other one of it receives from the same topics, [`Error::Backend`] when the backend does not answer.
pub(crate) async fn end_since(
    shared: &Arc<Shared>,
    run: &RunId,
    from: Timestamp,
) -> Result<RunEvent, Error> {
    let events = Events::open(shared, from).await?;
    tokio::select! {
        biased;
        ended = events.end_of(run) => ended,
        error = shared.failures.failed() => Err(error),
    }
}
