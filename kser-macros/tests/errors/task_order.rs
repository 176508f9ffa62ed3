//! Arguments in the wrong order that only their types tell.

use kser::Entrypoint;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

#[derive(Deserialize)]
struct Previous {}

#[derive(Clone)]
struct Database;

#[kser::task]
async fn state_after_the_params(_: DiceRoll, _: Database) {}

#[kser::task]
async fn params_at_the_end(_: Database, _: Previous, _: DiceRoll) {}

fn main() {}
