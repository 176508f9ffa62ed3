//! Errors that are no error of a task.

use kser::Entrypoint;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

struct OurError;

/// As anyhow has it.
type AnyResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[kser::task]
async fn own_error(_: DiceRoll) -> Result<String, OurError> {
    Err(OurError)
}

#[kser::task]
async fn text(_: DiceRoll) -> Result<(), String> {
    Err("no dice".to_owned())
}

#[kser::task]
async fn boxed(_: DiceRoll) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ok(())
}

#[kser::task]
async fn boxed_by_another_name(_: DiceRoll) -> AnyResult<()> {
    Ok(())
}

fn main() {}
