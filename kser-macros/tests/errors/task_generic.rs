//! Generic functions whose bounds do not say enough.

use kser::Entrypoint;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

#[kser::task]
async fn params_without_a_name<P>(_: P) {}

#[kser::task]
async fn state_that_may_not_be_cloned<S: Send + Sync + 'static>(_: S, _: DiceRoll) {}

#[kser::task]
async fn result_before_the_params<P>(_: Vec<u8>, _: u8, _: P)
where
    P: Entrypoint,
{
}

fn main() {}
