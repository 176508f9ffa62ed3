//! What the producer and the consumer of the dice game share: names and params, as a crate of their own would.

use kser::Entrypoint;
use serde::{Deserialize, Serialize};

/// Rolls a die once.
#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
pub struct DiceRoll {
    /// How many sides it has.
    pub sides: u64,
}

/// Rolls dice, one after another.
#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceLaunch")]
pub struct DiceLaunch {
    /// How many.
    pub rolls: usize,
}
