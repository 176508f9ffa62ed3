//! Params that cannot be received.

use kser::Entrypoint;
use serde::Serialize;

#[derive(Serialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

#[kser::task]
async fn roll(_: DiceRoll) {}

fn main() {}
