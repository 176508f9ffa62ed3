use std::sync::Arc;
use std::time::Duration;

use kser_core::sequencing::Revision;
use kser_core::{Cancellation, Delivery, HeldPartition, Message, Ticket, Timestamp};
use tokio::sync::OwnedSemaphorePermit;
use tracing::Span;

use super::disposition::{Disposition, Outputs, RefusedRecord};
use super::tracked_record::TrackedRecord;
use crate::consumer::active::ActiveGuard;
use crate::consumer::handed_in::{HandInPlace, HandedInDelivery};
use crate::consumer::options::LOOK_AGAIN;
use crate::consumer::processor::Processor;
use crate::consumer::step::execution::StepExecution;
use crate::consumer::step::in_a_row::StepsInARow;
use crate::consumer::step::run_waits::RunWaits;
use crate::engine::scope::Counts;

/// A delivery while it is worked on. Its ticket is apart, so that no code but the process can end it.
#[derive(Debug)]
pub(crate) struct DeliveryState<'p> {
    pub(crate) processor: &'p Processor,
    pub(crate) tracked: TrackedRecord,
    /// Cancelled when the delivery goes to another consumer.
    pub(crate) revoked: Cancellation,
    /// How many deliveries of the record ended in a crash.
    pub(crate) crash_count: u32,
    /// The message, which is decoded once.
    pub(crate) message: Option<Arc<Message>>,
    /// The version of the run in the record that was received, and the number of the steps that have begun since without a
    /// record of their own; `None` while the message is that of the record.
    pub(crate) in_a_row: Option<StepsInARow>,
    /// The step that the message asks for, kept from one attempt to the next.
    pub(crate) step: Option<Box<StepExecution<'p>>>,
    /// The revisions of the writes of a start whose answers did not come: the message may tell an older version than a look at
    /// the store.
    pub(crate) unsure: Vec<Revision>,
    /// The wait of the record, until the first attempt; `None` where the transport does not tell it.
    wait: Option<RecordWait>,
    /// Set while nothing else runs in this process.
    pub(crate) is_exclusive: bool,
    /// The waits of the handler for runs.
    pub(crate) waits: Option<Arc<RunWaits>>,
    /// The place of the entrypoint, where these are limited.
    pub(crate) place: Option<OwnedSemaphorePermit>,
    /// The outputs that could not be settled.
    pub(crate) unsettled: Option<Outputs>,
    /// The outputs that their topics refuse.
    pub(crate) refused: Vec<RefusedRecord>,
    /// How often the delivery could not be settled or decided.
    pub(crate) failed_settles: u32,
    /// Shows the delivery as held, with the reason.
    pub(crate) held: Option<ActiveGuard<HeldPartition>>,
    /// The trace context of the attempt, for the span of the settle, where the tracer wants that.
    pub(crate) trace: Option<String>,
    /// The span of a settle that is handed in.
    pub(crate) settle_span: Option<Box<Span>>,
    /// The start of a settle that is observed.
    pub(crate) settling: Option<Timestamp>,
    /// The number for the result of the first settle, which is handed in. Later ones are awaited.
    pub(crate) hand_in: Option<HandInPlace<'p>>,
}

/// The wait of a record in its topic.
#[derive(Debug, Clone, Copy)]
enum RecordWait {
    /// It had waited so long when it was received.
    For(Duration),
    /// It has waited since this time of day.
    Since(Timestamp),
}

impl<'p> DeliveryState<'p> {
    /// Takes a delivery apart.
    pub(crate) fn new(
        processor: &'p Processor,
        delivery: Delivery,
        hand_in: HandInPlace<'p>,
    ) -> (Self, Ticket) {
        let Delivery {
            record,
            origin,
            crash_count,
            failed,
            waited,
            published,
            ticket,
            revoked,
            ..
        } = delivery;
        let clock = &*processor.shared.clock;
        let mut tracked = TrackedRecord::received(record, origin, clock);
        tracked.attempts.in_memory = failed;
        tracked.attempts.failed = tracked.attempts.failed.saturating_add(failed);
        let state = Self {
            hand_in: Some(hand_in),
            wait: published
                .map(RecordWait::Since)
                .or(waited.map(RecordWait::For)),
            ..Self::of(processor, tracked, revoked, crash_count)
        };
        (state, ticket)
    }

    /// Takes a delivery back that was handed in and not settled, with the outputs that are not published.
    pub(crate) fn of_returned(
        processor: &'p Processor,
        delivery: HandedInDelivery,
        outputs: Outputs,
    ) -> Self {
        let HandedInDelivery {
            tracked,
            revoked,
            crash_count,
            ..
        } = delivery;
        Self {
            unsettled: Some(outputs),
            ..Self::of(processor, tracked, revoked, crash_count)
        }
    }

    const fn of(
        processor: &'p Processor,
        tracked: TrackedRecord,
        revoked: Cancellation,
        crash_count: u32,
    ) -> Self {
        Self {
            processor,
            tracked,
            revoked,
            crash_count,
            message: None,
            in_a_row: None,
            step: None,
            unsure: Vec::new(),
            wait: None,
            is_exclusive: false,
            waits: None,
            place: None,
            unsettled: None,
            refused: Vec::new(),
            failed_settles: 0,
            held: None,
            trace: None,
            settle_span: None,
            settling: None,
            hand_in: None,
        }
    }

    /// Takes the time for which the record has waited for its first attempt; `None` for later ones, and for a consumer without an observer.
    pub(crate) fn take_wait(&mut self) -> Option<Duration> {
        let wait = self.wait.take();
        self.processor.observer.as_ref()?;
        Some(match wait? {
            RecordWait::For(wait) => wait,
            RecordWait::Since(at) => self.processor.shared.clock.wall().since(at),
        })
    }

    /// Counts the attempts that no message and no store counts.
    pub(crate) const fn counts(&self) -> Counts {
        Counts {
            failed: self.tracked.attempts.failed,
            crashed: self.crash_count,
        }
    }

    /// Says whether a message that no consumer understands may still wait.
    pub(crate) fn may_wait(&mut self) -> bool {
        let longest = self.processor.options.unknown_wait;
        self.tracked.may_wait(longest, &self.processor.shared)
    }

    /// Delays the record for a consumer that understands its message, as in a rolling deploy.
    pub(crate) fn look_again(&mut self) -> Disposition {
        let shared = &self.processor.shared;
        let now = shared.clock.now();
        let since = *self.tracked.waits_since.get_or_insert(now);
        let longest = self.processor.options.unknown_wait;
        let left = longest.saturating_sub(now.since(since));
        // A message of a newer version waits without end.
        let pause = match left.is_zero() {
            true => LOOK_AGAIN,
            false => LOOK_AGAIN.min(left),
        };
        Disposition::ack_with(vec![self.tracked.delayed_within(pause, shared)])
    }
}
