//! The transport and the store in memory: their contracts, and the behaviour beyond the contracts.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod conformance;
mod model;
mod properties;
mod store;
mod stress;
mod transport;
