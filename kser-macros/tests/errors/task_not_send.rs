//! A future that may not go from thread to thread.

use std::rc::Rc;

use kser::Entrypoint;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

#[kser::task]
async fn roll(dice: DiceRoll) -> String {
    let sides = Rc::new(dice.sides);
    pause().await;
    format!("a die of {sides} sides")
}

async fn pause() {}

fn main() {}
