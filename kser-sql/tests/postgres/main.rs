//! The store on PostgreSQL: its contract on a real server, and the behaviour beyond the contract.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod conformance;
mod crashes;
mod faults;
mod outages;
mod processes;
mod proxy;
mod retention;
mod runs;
mod schema;
mod tls;
mod trips;
mod upgrade;
