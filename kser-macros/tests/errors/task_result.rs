//! Results that cannot be sent on.

use kser::{Entrypoint, Json, TaskError};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

struct Receipt {}

#[kser::task]
async fn without_serialize(_: DiceRoll) -> Json<Receipt> {
    Json(Receipt {})
}

#[kser::task]
async fn without_serialize_in_a_result(_: DiceRoll) -> Result<Json<Receipt>, TaskError> {
    Ok(Json(Receipt {}))
}

#[kser::task]
async fn number(_: DiceRoll) -> u64 {
    4
}

#[kser::task]
async fn bare_struct(_: DiceRoll) -> Result<Receipt, TaskError> {
    Ok(Receipt {})
}

#[kser::task]
async fn bare_list(_: DiceRoll) -> Vec<u64> {
    vec![4]
}

fn main() {}
