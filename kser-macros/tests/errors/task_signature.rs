//! Functions that are no task by their form alone.

use kser::{Context, Entrypoint, Step, TaskError};
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
fn not_async(_: DiceRoll) {}

#[kser::task]
async fn no_params() {}

#[kser::task]
async fn no_params_but_a_context(_: Context) {}

#[kser::task]
async fn too_many(_: Database, _: Context, _: DiceRoll, _: Previous, _: u8) {}

#[kser::task]
async fn too_many_without_a_context(_: Database, _: DiceRoll, _: Previous, _: u8) {}

#[kser::task]
async fn params_before_the_context(_: DiceRoll, _: Context) {}

#[kser::task]
async fn context_at_the_end(_: Database, _: DiceRoll, _: Context) {}

#[kser::task]
async fn two_contexts(_: Context, _: Context, _: DiceRoll) {}

#[kser::task]
async fn borrowed_context(_: &Context, _: DiceRoll) {}

#[kser::task]
async fn borrowed_params(_: &DiceRoll) {}

#[kser::task]
async fn any_params(_: impl Entrypoint) {}

#[kser::task]
async fn generic_over_lifetimes<'a>(_: std::borrow::Cow<'a, str>) {}

#[kser::task]
async fn operation(_: DiceRoll) -> Result<Vec<Step>, TaskError> {
    Ok(Vec::new())
}

#[kser::task]
struct NoFunction;

#[kser::task(name = "dice.DiceRoll")]
async fn named(_: DiceRoll) {}

impl Database {
    #[kser::task]
    async fn method(&self, _: DiceRoll) {}
}

fn main() {}
