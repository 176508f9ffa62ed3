//! A result of the step before that cannot be read.

use kser::{Context, Entrypoint};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

struct Receipt {}

#[kser::task]
async fn without_deserialize(_: DiceRoll, _: Receipt) {}

#[kser::task]
async fn without_deserialize_and_with_context(_: Context, _: DiceRoll, _: Receipt) {}

fn main() {}
