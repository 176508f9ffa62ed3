//! The registry refuses functions that are no tasks, and points to `#[kser::task]`, which gives the reason.

use kser::{Entrypoint, Registry};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

async fn roll(dice: DiceRoll) -> u64 {
    dice.sides.into()
}

async fn roll_at(table: u64, dice: DiceRoll) -> u64 {
    table + u64::from(dice.sides)
}

fn registry() {
    let _ = Registry::new().task(roll);
    let _ = Registry::new().task_with(7, roll_at);
}

fn main() {}
