//! The names and params that the producer and the consumer of the dice game share, as a crate of their own would have them.

use kser::Entrypoint;
use serde::{Deserialize, Serialize};

/// Rolls a die once.
#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
pub struct DiceRoll {
    /// The number of sides.
    pub sides: u64,
}

/// Rolls dice, one after another.
#[derive(Debug, Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceLaunch")]
pub struct DiceLaunch {
    /// How many.
    pub rolls: usize,
}
