use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Cancellation, Error, Record, Timestamp};

/// A record that was received, and the duty to finish it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Delivery {
    /// What was published.
    pub record: Record,
    /// Where it was.
    pub origin: Origin,
    /// How many deliveries of it may have begun and ended without a goodbye, as when a process dies.
    pub unreported: u32,
    /// How many attempts had failed when it was given back ([`Ticket::release_failed`]), as far as the backend knows.
    pub failed: u32,
    /// How long the record had waited when it was handed out; `None` when the backend cannot tell.
    pub waited: Option<Duration>,
    /// The duty.
    pub ticket: Ticket,
    /// Asks to stop when the delivery goes to someone else, as when a partition is taken away.
    pub revoked: Cancellation,
}

impl Delivery {
    /// Makes a delivery that stays ours and comes for the first time.
    #[must_use]
    pub fn new(record: Record, origin: Origin, ticket: Ticket) -> Self {
        Self {
            record,
            origin,
            unreported: 0,
            failed: 0,
            waited: None,
            ticket,
            revoked: Cancellation::default(),
        }
    }

    /// Makes a delivery that may go to someone else, and comes for the first time. It allocates nothing, unlike
    /// [`with_revoked`](Self::with_revoked), because the request to stop is made already.
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
            unreported: 0,
            failed: 0,
            waited: None,
            ticket,
            revoked,
        }
    }

    /// Lets the backend ask to stop. Deliveries of one partition may share it.
    #[must_use]
    pub fn with_revoked(mut self, revoked: Cancellation) -> Self {
        self.revoked = revoked;
        self
    }

    /// Counts the attempts that had failed when it was given back.
    #[must_use]
    pub const fn with_failed(mut self, failed: u32) -> Self {
        self.failed = failed;
        self
    }

    /// Tells how long the record has waited.
    #[must_use]
    pub const fn with_waited(mut self, waited: Option<Duration>) -> Self {
        self.waited = waited;
        self
    }

    /// Counts the deliveries that ended without a goodbye.
    #[must_use]
    pub const fn with_unreported(mut self, unreported: u32) -> Self {
        self.unreported = unreported;
        self
    }
}

/// Where a delivery was found, for logs, lanes and dead letters. Backends without partitions use partition 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "two numbers, made by backends")]
pub struct Origin {
    /// The part of the topic within which keys are ordered.
    pub partition: i32,
    /// The position in it.
    pub offset: i64,
}

/// Finishes deliveries: what a backend gives to [`Ticket::new`]. Used by many tasks at once.
#[async_trait]
pub trait Settle: Debug + Send + Sync + 'static {
    /// Publishes `outputs`, then marks the delivery as done: both together, if the backend can, or in this order.
    /// Returns when both are durable. A second try of what may have worked is harmless.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when the delivery belongs to someone else. After any other error it is still ours:
    /// [`Error::Unpublished`] says which outputs are not published, and another try is given those only.
    async fn settle(&self, ticket: u128, outputs: Vec<Record>) -> Result<(), Error>;

    /// Notes durably that the delivery is about to run. Asked for suspects only: those whose
    /// [`unreported`](Delivery::unreported) count is 2 or more are counted further only after this.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when the delivery belongs to someone else. After any other error it is still ours, and must not
    /// run.
    async fn begin(&self, ticket: u128) -> Result<(), Error>;

    /// Gives the delivery back, to be delivered again, not before a time. It must not block, and it may be lost, as a
    /// crash would lose it: then the record comes back when the backend notices.
    ///
    /// `failed` counts the attempts that failed since the record was published: the delivery comes again with it
    /// ([`Delivery::failed`]), while the backend has room for it.
    fn release(&self, ticket: u128, not_before: Option<Timestamp>, failed: u32);
}

/// The duty to finish one delivery. It must be settled or released, which consumes it.
///
/// Only that makes a [`Settled`]: a function that returns one cannot forget it. A ticket that is dropped is released,
/// and an error is logged, because no correct program does so unless it is being stopped.
#[must_use = "settle or release it"]
pub struct Ticket {
    id: u128,
    settle: Arc<dyn Settle>,
    open: bool,
}

/// The proof that nothing is left to do about a delivery.
#[derive(Debug)]
#[must_use = "it says whether the delivery was still ours"]
pub struct Settled {
    lost: bool,
    released: bool,
}

impl Settled {
    /// Says whether the delivery was given back, to be delivered again.
    #[must_use]
    pub const fn is_released(&self) -> bool {
        self.released
    }

    /// Says that someone else has the delivery now: what was to be published is not.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }
}

/// A delivery that is not settled, and still ours.
#[derive(Debug, thiserror::Error)]
#[error("the delivery is not settled")]
#[non_exhaustive]
pub struct NotSettled {
    /// Why.
    pub source: Error,
    /// The duty.
    pub ticket: Ticket,
}

impl Ticket {
    /// Makes one for a delivery that `settle` knows by `id`.
    pub const fn new(id: u128, settle: Arc<dyn Settle>) -> Self {
        Self {
            id,
            settle,
            open: true,
        }
    }

    /// Notes durably that the delivery, which may have killed its process before, is about to run alone.
    ///
    /// # Errors
    ///
    /// [`Error::Lost`] when the delivery belongs to someone else, [`Error::Backend`] when it is not noted: then it must
    /// not run.
    pub async fn begin(&self) -> Result<(), Error> {
        self.settle.begin(self.id).await
    }

    /// Publishes `outputs` and marks the delivery as done.
    ///
    /// # Errors
    ///
    /// [`NotSettled`] gives the ticket back, for another try or to release it. After [`Error::Unpublished`], give the
    /// other try those outputs only that it names: the others would be published twice.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may or may not have published and settled; the ticket is then released, so that what was
    /// not settled is delivered again.
    pub async fn settle(mut self, outputs: Vec<Record>) -> Result<Settled, NotSettled> {
        let lost = match self.settle.settle(self.id, outputs).await {
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

    /// Gives the delivery back, to be delivered again, not before a time.
    pub fn release(self, not_before: Option<Timestamp>) -> Settled {
        self.release_failed(not_before, 0)
    }

    /// Gives the delivery back with how many attempts have failed, as [`release`](Self::release) does otherwise.
    pub fn release_failed(mut self, not_before: Option<Timestamp>, failed: u32) -> Settled {
        self.open = false;
        self.settle.release(self.id, not_before, failed);
        Settled {
            lost: false,
            released: true,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            tracing::error!(target: "kser", ticket = self.id, "a delivery was dropped, not settled");
            self.settle.release(self.id, None, 0);
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
