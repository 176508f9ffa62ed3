//! The crash tests that stand in the examples. Cargo builds an example as a program or as a test, not as both, and the tests
//! on Kafka need these as programs.
#![expect(dead_code, reason = "nobody calls `main`")]

#[path = "../checkout.rs"]
mod checkout;
#[path = "../dice.rs"]
mod dice;
