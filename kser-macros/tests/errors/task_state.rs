//! State that cannot be given to each attempt.

use kser::{Context, Entrypoint};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

struct NotClone;

#[derive(Clone)]
struct NotSend(std::rc::Rc<u8>);

#[kser::task]
async fn not_clone(_: NotClone, _: Context, _: DiceRoll) {}

#[kser::task]
async fn not_clone_without_a_context(_: NotClone, _: DiceRoll) {}

#[kser::task]
async fn not_send(_: NotSend, _: Context, _: DiceRoll) {}

fn main() {}
