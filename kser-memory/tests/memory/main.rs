//! The transport and the store in memory: the contracts, and what they do beyond these.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod conformance;
mod model;
mod properties;
mod store;
mod stress;
mod transport;
