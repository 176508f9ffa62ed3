//! Params without a name, alone and beside other arguments.

use kser::Context;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct DiceRoll {
    sides: u8,
}

#[derive(Deserialize)]
struct Previous {}

#[derive(Clone)]
struct Database;

#[kser::task]
async fn alone(_: DiceRoll) {}

#[kser::task]
async fn with_context(_: Context, _: DiceRoll) {}

#[kser::task]
async fn with_state(_: Database, _: Context, _: DiceRoll) {}

#[kser::task]
async fn of_two(_: DiceRoll, _: Previous) {}

#[kser::task]
async fn of_three(_: Database, _: DiceRoll, _: Previous) {}

fn main() {}
