//! A zoo of broken consumers, transports and stores: each is caught, by the name of the invariant that it breaks.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod handlers;
mod member;
mod store;
mod stores;
mod transport;
mod transports;
mod workflow;
