//! The log lines that an operator reads.
//!
//! In a process of their own: tracing keeps for each line whether a subscriber listens, for all threads at once.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

#[path = "../workflows/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "no test needs all of it")]
#[path = "../workflows/faulty/mod.rs"]
mod faulty;

mod capture;
mod consumer_lines;
mod encrypted_lines;
mod failed_lines;
mod forged_lines;
mod operator_lines;
mod retry_lines;
