#![doc = include_str!("../README.md")]
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a failed expectation is a failed test"
)]

mod capabilities;
mod names;
mod records;
pub mod rules;
pub mod store;
mod store_harness;
mod suite;
pub mod transport;
mod transport_harness;

pub use capabilities::Capabilities;
pub use store_harness::StoreHarness;
#[doc(hidden)]
pub use suite::{run_paused, run_real};
pub use transport_harness::{TransportHarness, Which};
