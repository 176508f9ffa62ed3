//! The code that the examples share.

pub mod dice;

use std::hash::{BuildHasher, RandomState};

/// Returns a number from 1 to `sides`, each about as likely as the others.
#[must_use]
pub fn roll(sides: u64) -> u64 {
    // Every `RandomState` has keys of its own, which is random enough for a game.
    RandomState::new().hash_one(sides) % sides.max(1) + 1
}

/// The transport of an example: `KSER_URL` if it is set, else the one that was built in.
#[must_use]
pub fn url() -> String {
    let built_in = match cfg!(feature = "kafka") {
        true => "kafka://localhost:9092?create=6",
        false => "memory://",
    };
    std::env::var("KSER_URL").unwrap_or_else(|_| built_in.to_owned())
}

/// The state store of an example: `KSER_STORE` if it is set, else the one that was built in.
#[must_use]
pub fn store_url() -> String {
    let built_in = match cfg!(feature = "sqlite") {
        true => "sqlite://kser-example.db",
        false => "memory://",
    };
    std::env::var("KSER_STORE").unwrap_or_else(|_| built_in.to_owned())
}

/// Shows the log lines of kser at level INFO, without time and place.
pub fn show_log() {
    tracing_subscriber::fmt()
        .with_target(false)
        .without_time()
        .init();
}
