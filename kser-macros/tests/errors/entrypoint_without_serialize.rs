//! Params that cannot be sent.

use kser::Entrypoint;
use serde::Deserialize;

#[derive(Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

fn main() {}
