//! Arguments in the wrong order that only their types tell.

use kser::{Context, Entrypoint};
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
async fn result_before_the_params(_: Previous, _: DiceRoll) {}

#[kser::task]
async fn result_before_the_params_and_behind_a_context(_: Context, _: Previous, _: DiceRoll) {}

#[kser::task]
async fn params_at_the_end(_: Database, _: Previous, _: DiceRoll) {}

#[kser::task]
async fn params_at_the_end_and_a_context(_: Database, _: Context, _: Previous, _: DiceRoll) {}

fn main() {}
