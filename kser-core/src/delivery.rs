mod hand_in;

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::hand_in::{EndedDelivery, HandIn, HandInReports, HandedIn, ReturnedDelivery, Told};
use crate::{Cancellation, Error, Record, Timestamp};

/// A received record together with the ticket that acknowledges it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// The record as it was published.
    pub record: Record,
    /// The partition and the offset of the record.
    pub origin: Origin,
    /// The number of deliveries of the record that may have begun and were neither settled nor released, as when a process
    /// crashes.
    pub crash_count: u32,
    /// The number of attempts that had failed when the delivery was released ([`Ticket::release_failed`]), as far as the
    /// backend knows.
    pub failed: u32,
    /// The time for which the record had waited when it was delivered; `None` when the backend cannot tell.
    pub waited: Option<Duration>,
    /// The time of day at which the record was published, by the clock of its producer or of the backend; `None` when the backend cannot
    /// tell. For people and metrics: no decision goes by it.
    pub published: Option<Timestamp>,
    /// The ticket, to be settled or released exactly once.
    pub ticket: Ticket,
    /// Asks the handler to stop when the delivery is reassigned, as when a rebalance takes the partition away.
    pub revoked: Cancellation,
}

impl Delivery {
    /// Makes a first delivery that cannot be revoked.
    #[must_use]
    pub fn new(record: Record, origin: Origin, ticket: Ticket) -> Self {
        Self {
            record,
            origin,
            crash_count: 0,
            failed: 0,
            waited: None,
            published: None,
            ticket,
            revoked: Cancellation::default(),
        }
    }

    /// Makes a first delivery that can be revoked. It allocates nothing, unlike [`with_revoked`](Self::with_revoked),
    /// because the caller has made the request to stop.
    #[must_use]
    pub const fn revocable(
        record: Record,
        origin: Origin,
        ticket: Ticket,
        revoked: Cancellation,
    ) -> Self {
        Self {
            record,
            origin,
            crash_count: 0,
            failed: 0,
            waited: None,
            published: None,
            ticket,
            revoked,
        }
    }

    /// Sets the request by which the backend asks to stop. Deliveries of one partition may share it.
    #[must_use]
    pub fn with_revoked(mut self, revoked: Cancellation) -> Self {
        self.revoked = revoked;
        self
    }

    /// Sets the number of attempts that had failed when the delivery was released.
    #[must_use]
    pub const fn with_failed(mut self, failed: u32) -> Self {
        self.failed = failed;
        self
    }

    /// Sets the time for which the record has waited.
    #[must_use]
    pub const fn with_waited(mut self, waited: Option<Duration>) -> Self {
        self.waited = waited;
        self
    }

    /// Sets the time of day at which the record was published.
    #[must_use]
    pub const fn with_published(mut self, published: Option<Timestamp>) -> Self {
        self.published = published;
        self
    }

    /// Sets the number of deliveries that were neither settled nor released.
    #[must_use]
    pub const fn with_crash_count(mut self, crash_count: u32) -> Self {
        self.crash_count = crash_count;
        self
    }
}

/// The place of a record in its topic, for logs, lanes and dead letters. Backends without partitions use partition 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "two numbers, made by backends")]
pub struct Origin {
    /// The partition, within which keys are ordered.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
}

/// Finishes deliveries on behalf of their tickets. A backend implements it for [`Ticket::new`]; many tasks call it at once.
#[async_trait]
pub trait Settle: Debug + Send + Sync + 'static {
    /// Publishes `outputs` and acknowledges the delivery: both together if the backend can, or in this order. Returns when
    /// both are durable. A retry is harmless, also when the first call may have succeeded.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when the delivery was reassigned. After any other error the caller still has it:
    /// [`Error::Unpublished`] names the outputs that are not published, and the caller retries with those only.
    async fn settle(&self, ticket: u128, outputs: &[Record]) -> Result<(), Error>;

    /// Records durably that the delivery is about to run. Called for suspected poison messages only: deliveries whose
    /// [crash count](Delivery::crash_count) is 2 or more are counted further only after this.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when the delivery was reassigned. After any other error the caller still has it, and must not run
    /// it.
    async fn begin(&self, ticket: u128) -> Result<(), Error>;

    /// Releases the delivery, to be redelivered not before a time. The call must not block, and its effect may be lost, as
    /// in a crash: the record is then redelivered when the backend notices.
    ///
    /// `failed` is the number of attempts that failed since the record was published. The redelivery has it
    /// ([`Delivery::failed`]), while the backend has room for it.
    fn release(&self, ticket: u128, not_before: Option<Timestamp>, failed: u32);
}

/// The right and the duty to finish one delivery. It must be settled or released, which consumes it.
///
/// Only these two make a [`Settled`], so that a function that returns a `Settled` cannot forget its ticket. A ticket that is
/// dropped is released, and an error is logged, because a correct program drops tickets only when it is stopped.
#[must_use = "settle or release it"]
pub struct Ticket {
    id: u128,
    settler: Settler,
    open: bool,
}

/// The backend of a ticket, which takes hand-ins or is awaited only.
enum Settler {
    Awaited(Arc<dyn Settle>),
    HandIn(Arc<dyn HandIn>),
}

impl Settler {
    fn settle(&self) -> &dyn Settle {
        match self {
            Self::Awaited(settle) => &**settle,
            Self::HandIn(hand_in) => &**hand_in,
        }
    }

    const fn hand_in(&self) -> Option<&Arc<dyn HandIn>> {
        match self {
            Self::Awaited(_) => None,
            Self::HandIn(hand_in) => Some(hand_in),
        }
    }
}

/// A proof that a delivery was settled or released.
#[derive(Debug)]
#[must_use = "it says whether the delivery was reassigned"]
pub struct Settled {
    lost: bool,
    released: bool,
}

impl Settled {
    /// Says whether the delivery was released, to be redelivered.
    #[must_use]
    pub const fn is_released(&self) -> bool {
        self.released
    }

    /// Says whether the delivery was reassigned to another member. Its outputs are not published then.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }
}

/// The error of a settle after which the caller still has the delivery.
#[derive(Debug, thiserror::Error)]
#[error("the delivery is not settled")]
#[non_exhaustive]
pub struct NotSettled {
    /// The reason.
    pub source: Error,
    /// The ticket, for a retry or a release.
    pub ticket: Ticket,
}

impl Ticket {
    /// Makes the ticket of the delivery that `settle` knows by `id`.
    pub const fn new(id: u128, settle: Arc<dyn Settle>) -> Self {
        Self {
            id,
            settler: Settler::Awaited(settle),
            open: true,
        }
    }

    /// Makes the ticket of the delivery that `hand_in` knows by `id`, which may also be handed in.
    pub const fn with_hand_in(id: u128, hand_in: Arc<dyn HandIn>) -> Self {
        Self {
            id,
            settler: Settler::HandIn(hand_in),
            open: true,
        }
    }

    /// Records durably that the delivery, which may have crashed its process before, is about to run exclusively.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when the delivery was reassigned, [`Error::Backend`] when the record was not made. The delivery must
    /// not run then.
    pub async fn begin(&self) -> Result<(), Error> {
        self.settler.settle().begin(self.id).await
    }

    /// Publishes `outputs` and acknowledges the delivery.
    ///
    /// # Errors
    ///
    /// [`NotSettled`] returns the ticket, for a retry or a release. After [`Error::Unpublished`], retry with the outputs
    /// that it names only: the others would be published twice.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not have published and settled. The ticket is then released, so that a delivery
    /// that is not settled is redelivered.
    pub async fn settle(
        mut self,
        outputs: impl AsRef<[Record]> + Send + Sync,
    ) -> Result<Settled, NotSettled> {
        let lost = match self
            .settler
            .settle()
            .settle(self.id, outputs.as_ref())
            .await
        {
            Ok(()) => false,
            Err(Error::Lost) => true,
            Err(source) => {
                return Err(NotSettled {
                    source,
                    ticket: self,
                });
            }
        };
        self.open = false;
        Ok(Settled {
            lost,
            released: false,
        })
    }

    /// Releases the delivery, to be redelivered not before a time; `None` for at once.
    pub fn release(self, not_before: Option<Timestamp>) -> Settled {
        self.release_failed(not_before, 0)
    }

    /// Releases the delivery as [`release`](Self::release) does, with the number of attempts that have failed.
    pub fn release_failed(mut self, not_before: Option<Timestamp>, failed: u32) -> Settled {
        self.open = false;
        self.settler.settle().release(self.id, not_before, failed);
        Settled {
            lost: false,
            released: true,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            tracing::error!(target: "kser", ticket = self.id, "a delivery was dropped without a settle; it is released and will be redelivered");
            self.settler.settle().release(self.id, None, 0);
        }
    }
}

impl Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.id).finish()
    }
}

// The trait must stay usable as a trait object.
const _: Option<&dyn Settle> = None;
const _: Option<&dyn HandIn> = None;
