//! The simulation, as its users see it.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod alone;
mod by_hand;
mod checkout;
mod crashes;
mod crowd;
mod everything;
mod faults;
mod found;
mod long;
mod mistakes;
mod outside;
mod readme;
mod said;
mod sameness;
mod shop;
