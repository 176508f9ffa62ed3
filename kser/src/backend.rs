//! The interface of backends: the traits of transports and state stores, and the types in their signatures.
//!
//! Programs need this module only to write a backend, or to use one without a [`Client`](crate::Client). The documentation of
//! [`Transport`] and [`StateStore`] is their contract; the suites of `kser-testkit` test each sentence of it. A crate that has
//! only a backend depends on `kser-core`, where all of this comes from.
//!
//! ```
//! use kser::backend::{Interest, Record, Room, Subscription, Transport};
//! use kser::memory::MemoryTransport;
//! use kser::message::Topic;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let transport = MemoryTransport::new();
//! let topic = Topic::new("image")?;
//! let mut member = transport.subscribe(Interest::group("readers", vec![topic.clone()])).await?;
//! transport.publish(vec![Record::new(topic, Some("hello".into()))]).await?;
//! for delivery in member.receive(Room::records(10)).await? {
//!     assert_eq!(delivery.record.payload.as_deref(), Some(&b"hello"[..]));
//!     delivery.ticket.settle(Vec::new()).await?;
//! }
//! # member.close().await?;
//! # Ok(())
//! # }
//! ```

pub use kser_core::{
    AwaitRun, Delivery, Description, EndedDelivery, Envelope, GroupProgress, HandIn, HandInReports,
    HandedIn, Inspect, Interest, Leave, NotPublished, NotSettled, Origin, Outgoing,
    PartitionBacklog, Record, RecordPlace, ReturnedDelivery, Room, Settle, Settled, Settling,
    StateStore, StoreId, Subscription, Ticket, Told, TopicSpec, Transport, UnsettledQuery,
    UnsettledRecord, UnsettledView, async_trait, backlog, headers,
};

/// The rules of an operation, as events that move the state of a run.
pub mod sequencing {
    pub use kser_core::sequencing::{
        Effect, Event, External, Lease, MAX_CRASHES, Owner, Progress, Revision, SentStep, StepKey,
        StepWindow, Transition, apply, carried,
    };
}

/// The arguments and answers of a [`StateStore`].
pub mod store {
    pub use kser_core::store::{
        Attempt, Cursor, DueRun, Found, Inserted, LARGEST_PAGE, LONGEST_ID, NewRun,
        OUTPUT_PATIENCE, Output, OutputId, Page, RunFilter, RunInfo, RunSummary, Standing, Swapped,
        TOMBSTONE_KEPT, Timed, Tombstone, Watch, Write, page_size,
    };
}
