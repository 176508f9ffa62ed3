//! The dice game of the documentation: three rolls, one after another.

use std::hash::{BuildHasher, RandomState};

use kser::{Entrypoint, Registry, Step, TaskError};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct DiceRoll {
    sides: u64,
}

impl Entrypoint for DiceRoll {
    const PATH: &'static str = "dice.DiceRoll";
}

#[derive(Serialize, Deserialize)]
struct DiceLaunch {
    rolls: usize,
}

impl Entrypoint for DiceLaunch {
    const PATH: &'static str = "dice.DiceLaunch";
}

async fn roll(dice: DiceRoll) -> String {
    // Every `RandomState` is another: enough chance for a game.
    let chance = RandomState::new().hash_one(dice.sides);
    format!("You made a {}", chance % dice.sides + 1)
}

async fn launch(game: DiceLaunch) -> Result<Vec<Step>, TaskError> {
    Ok(vec![Step::new(DiceRoll { sides: 6 }); game.rolls])
}

#[tokio::main]
async fn main() -> Result<(), kser::Error> {
    kser_examples::show_log();
    let kser = kser::connect(&kser_examples::url()).await?;
    let registry = Registry::new().task(roll).operation(launch).build()?;
    let consumer = kser.consumer(registry).spawn();

    let run = kser.producer().launch(DiceLaunch { rolls: 3 }).await?;
    let state = run.wait().await?;
    consumer.stop().await?;
    println!("{}", state.status);
    Ok(())
}

#[cfg(test)]
mod tests {
    use kser_testkit::{Faults, Setup, Sim};

    use super::*;

    #[test]
    fn a_game_survives_any_single_crash() {
        for setup in [
            Setup::stored(),
            Setup::exactly_once(),
            Setup::at_least_once(),
        ] {
            let sim = Sim::new(|world| {
                world.consumers(2).task(roll).operation(launch);
                world.launch(DiceLaunch { rolls: 3 })
            });
            let sim = sim.on(setup).faults(Faults::any_single_crash());
            sim.check(|run| {
                run.assert_succeeded(run.state);
                assert!(run.outcome(run.state).message().starts_with("You made a"));
            });
        }
    }
}
