//! Params that are no JSON object, or not one type.

use kser::Entrypoint;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.Kind")]
enum Kind {
    Die,
    Coin,
}

#[derive(Entrypoint)]
#[entrypoint("dice.Bits")]
union Bits {
    number: u32,
    bytes: [u8; 4],
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.Ping")]
struct Ping;

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.Pair")]
struct Pair(u8, u8);

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.Any")]
struct Any<T> {
    value: T,
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.Borrowed")]
struct Borrowed<'a> {
    name: &'a str,
}

fn main() {}
