#![doc = include_str!("../README.md")]
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a failed expectation is a failed test"
)]
#![expect(
    clippy::test_attr_in_doctest,
    reason = "it can be pasted so, and `tests/sim/checkout.rs` runs it"
)]

mod capabilities;
mod choices;
mod effects;
mod environment;
mod explore;
mod failure;
pub mod faults;
mod handed_in;
mod heartbeat;
mod invariants;
mod names;
#[cfg(feature = "html")]
mod page;
mod plan;
pub mod presence;
mod quiet;
mod records;
pub mod rules;
mod sim;
pub mod store;
mod store_harness;
pub mod strategies;
mod suite;
pub mod transport;
mod transport_harness;
mod violation;
mod watchdog;

pub use capabilities::Capabilities;
pub use effects::{EffectCall, Effects};
pub use explore::{Report, Sim};
pub use failure::Failure;
pub use faults::Faults;
#[doc(hidden)]
pub use kser_core;
pub use plan::Plan;
#[doc(hidden)]
pub use sim::InjectedBug;
pub use sim::{
    ByHand, Consumers, Guarantee, Run, Setup, SimClock, SimStore, SimTransport, Trace, World,
};
pub use store_harness::StoreHarness;
#[doc(hidden)]
pub use suite::{run_paused, run_real};
pub use transport_harness::{TransportHarness, Which};
