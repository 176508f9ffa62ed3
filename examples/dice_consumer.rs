//! The consumer of the dice game, in a process of its own: runs until a signal stops it. Needs Kafka.

use kser::{Registry, Step, TaskError};
use kser_examples::dice::{DiceLaunch, DiceRoll};

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
    kser.consumer(registry).with_signals().run().await
}
