#![doc = include_str!("../README.md")]
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a failed expectation is a failed test"
)]

mod harness;
pub mod rules;
pub mod store;
mod suite;
pub mod transport;

pub use harness::{Capabilities, StoreHarness, TransportHarness};
#[doc(hidden)]
pub use suite::{run_paused, run_real};
