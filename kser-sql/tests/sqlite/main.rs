//! The store on SQLite: its contract on real files, and the behaviour beyond the contract.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod conformance;
mod faults;
mod file;
mod processes;
mod retention;
mod sweeps;
mod upgrade;
mod waits;
