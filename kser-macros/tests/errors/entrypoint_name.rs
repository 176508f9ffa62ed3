//! The name on the wire is missing, or is none.

use kser::Entrypoint;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
struct NoAttribute {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint]
struct NoName {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint()]
struct NoNameInParentheses {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint = "dice.NoParentheses"]
struct NoParentheses {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint(dice.NoText)]
struct NoText {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("")]
struct EmptyName {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.First")]
#[entrypoint("dice.Second")]
struct TwoNames {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.More", topic = "dice")]
struct More {}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.Behind", crate = kser, more)]
struct Behind {}

fn main() {}
