//! The dice game of the documentation: three rolls, one after another.

use kser::{Entrypoint, Registry, Step, TaskError};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u64,
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceLaunch")]
struct DiceLaunch {
    rolls: usize,
}

async fn roll(dice: DiceRoll) -> String {
    format!("You made a {}", kser_examples::roll(dice.sides))
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
    let status = run.wait().await?.status;
    consumer.stop().await?;
    println!("{status}");
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
