//! Observers: the events of a client, as metrics count them.
//!
//! [`ClientBuilder::observer`](crate::client::ClientBuilder::observer) sets the observer of a client. The crate `kser-observe` has
//! one that exports metrics and answers probes. A client without an observer pays nothing for it.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use kser::observer::{ClientObserver, ConsumerInfo, Observation, Observer};
//! # use kser::{Client, Entrypoint, Registry};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize, Entrypoint)]
//! # #[entrypoint("hall.Greet")]
//! # struct Greet {}
//! # async fn greet(_: Greet) {}
//!
//! /// Counts attempts.
//! #[derive(Debug, Clone, Default)]
//! struct Attempts(Arc<AtomicU64>);
//!
//! impl Observer for Attempts {
//!     fn observe(&self, observation: &Observation<'_>) {
//!         if let Observation::AttemptEnded { .. } = observation {
//!             self.0.fetch_add(1, Ordering::Relaxed);
//!         }
//!     }
//! }
//!
//! impl ClientObserver for Attempts {
//!     fn of_consumer(&self, _: &ConsumerInfo<'_>) -> Arc<dyn Observer> {
//!         Arc::new(self.clone())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), kser::Error> {
//! let attempts = Attempts::default();
//! let kser = Client::builder_from_url("memory://").observer(attempts.clone()).build().await?;
//! let consumer = kser.consumer(Registry::new().task(greet).build()?).spawn();
//! kser.producer().send(Greet {}).await?;
//! # while attempts.0.load(Ordering::Relaxed) == 0 { tokio::task::yield_now().await }
//! # consumer.stop().await?;
//! assert_eq!(attempts.0.load(Ordering::Relaxed), 1);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kser_core::{Clock, Name, Registry, Status, Topic};

use crate::consumer::ConsumerHandle;

/// Observes the events of a client or of a consumer.
///
/// The workers of a consumer call it between deliveries, from several threads at once: it must neither block nor take long.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Observes an event. An observer ignores the events that it does not know, since later versions have more of them.
    fn observe(&self, observation: &Observation<'_>);
}

/// Observes a client, and makes an observer for each of its consumers.
pub trait ClientObserver: Observer {
    /// Returns the observer of a consumer that starts, which may look up the names of its registry once.
    fn of_consumer(&self, consumer: &ConsumerInfo<'_>) -> Arc<dyn Observer>;
}

/// A consumer that starts.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConsumerInfo<'a> {
    /// The handle of the consumer.
    pub handle: &'a ConsumerHandle,
    /// The topics that the consumer receives from, with the prefix. Empty if one of them is invalid, for which the consumer fails.
    pub topics: &'a [Topic],
    /// The handlers of the consumer.
    pub registry: &'a Registry,
    /// The clock of the client, by which [`RunningTask::since`](crate::consumer::RunningTask::since) goes; for steps of stored runs that
    /// is the clock of the store, which may differ a little.
    pub clock: &'a Arc<dyn Clock>,
}

/// An event of a client.
#[derive(Debug)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// A handler begins: an attempt at a task, at a step, or at the build of an operation.
    AttemptStarted {
        /// The entrypoint of the handler.
        entrypoint: &'a Name,
    },
    /// An attempt has ended, and its end is written where the state of its run is stored.
    AttemptEnded {
        /// The entrypoint of the handler.
        entrypoint: &'a Name,
        /// The result.
        result: AttemptResult,
        /// The time since the start of the attempt, by the clock of the client.
        duration: Duration,
        /// The time for which it could have begun before: since its message was published, or since its retry was due. `None` where the
        /// backend does not tell.
        waited: Option<Duration>,
    },
    /// A producer of the client has launched an operation.
    RunLaunched {
        /// The entrypoint of the operation.
        operation: &'a Name,
    },
    /// A run has reached an end, by a consumer or a verb of the client. A run that is resumed may end again.
    RunEnded {
        /// The entrypoint of the operation.
        operation: &'a Name,
        /// The status at the end: `SUCCESS`, `FAILED` or `CANCELLED`.
        status: Status,
    },
    /// A verb of [`Runs`](crate::run::Runs) has changed a run.
    RunRepaired {
        /// The entrypoint of the operation.
        operation: &'a Name,
        /// The verb: `cancel`, `resume`, `retry step`, `skip step`, `report` or `fork`.
        verb: &'static str,
    },
    /// A delivery is settled with a dead letter.
    DeadLettered {
        /// The topic whose record it is, without the suffix of dead letters.
        topic: &'a str,
        /// The reason.
        reason: LetterReason,
    },
    /// A program has replayed, discarded or renewed a dead letter.
    LetterSettled {
        /// The topic whose record it is, without the suffix of dead letters.
        topic: &'a str,
        /// The way.
        end: LetterEnd,
    },
    /// A delivery is settled: its outputs are published. Of deliveries whose outputs the transport takes without being awaited, one in
    /// sixteen is observed while many are in hand.
    Settled {
        /// The topic of the delivery.
        topic: &'a Topic,
        /// The time from the end of the attempt until the answer of the transport.
        duration: Duration,
    },
    /// Settling a delivery has failed. The delivery is held and tried again.
    SettleFailed {
        /// The topic of the delivery.
        topic: &'a Topic,
    },
    /// The state store has answered a call. Calls that wait for a change are none.
    StoreCalled {
        /// The call, a method of [`StateStore`](crate::backend::StateStore), such as `swap`.
        call: &'static str,
        /// The answer.
        answer: StoreAnswer,
        /// The time until the answer.
        duration: Duration,
    },
    /// A producer, a verb or a sweep has published records. Those that are published with the end of a delivery do not count.
    Published {
        /// The number of records that are published.
        published: usize,
        /// The number of records of which it is not known that they are published.
        failed: usize,
        /// The time until the answer of the transport.
        duration: Duration,
    },
}

/// The reason for a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LetterReason {
    /// An attempt failed, and none follows.
    Failed,
    /// No handler has run: the record is no message, or no consumer knows its entrypoint.
    NotRun,
}

/// The way in which a dead letter is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LetterEnd {
    /// The record was sent again.
    Replayed,
    /// The letter was forgotten.
    Discarded,
    /// The letter was written again, at the end of its topic.
    Renewed,
}

/// The answer of a state store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreAnswer {
    /// The call is done.
    Done,
    /// A swap was refused, since the run has changed meanwhile: the consumer reads and asks again.
    Conflict,
    /// The store failed, or did not answer.
    Failed,
}

/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptResult {
    /// The handler succeeded.
    Success,
    /// The handler failed, and another attempt follows.
    Retried,
    /// The handler failed, and no attempt follows.
    Failed,
    /// The consumer stopped before the handler had ended. The attempt does not count.
    Released,
    /// Another consumer has the step, or its run has moved on: the outcome of the attempt is dropped.
    Dropped,
}
