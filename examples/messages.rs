//! Reads messages, the text of one a line, from a file or from standard input, and answers those whose entrypoint is
//! known by sending their params back. Prints one outcome a line, then how many outcomes and dead letters there were.

use std::io::{BufRead, BufReader, Read};

use kser::message::Object;
use kser::{Context, Entrypoint, Outcome, Registry};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, UnboundedSender};

/// Any params, under a name.
macro_rules! echo {
    ($($name:ident: $path:literal),*) => {
        $(#[derive(Serialize, Deserialize, Entrypoint)]
        #[entrypoint($path)]
        struct $name(Object);)*

        /// A registry that answers each of them, and tells `told` the outcome.
        fn registry(told: &UnboundedSender<Outcome>) -> Result<Registry, kser::Error> {
            let registry = Registry::new();
            $(let told_it = told.clone();
            let registry = registry.task(move |ctx: Context, params: $name| {
                let outcome = Outcome::text("echo").with_data(params.0);
                let _ = told_it.send(outcome.clone().with_uuid(ctx.uuid().clone()));
                async move { outcome }
            });)*
            registry.build()
        }
    };
}

echo!(Main: "__main__.DiceRoll", Dice: "dice.DiceRoll", Short: "a.B");

fn lines() -> std::io::Result<Vec<Vec<u8>>> {
    let input: Box<dyn Read> = match std::env::args().nth(1) {
        Some(file) => Box::new(std::fs::File::open(file)?),
        None => Box::new(std::io::stdin()),
    };
    BufReader::new(input).split(b'\n').collect()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lines = lines()?;
    let kser = kser::connect(&kser_examples::url()).await?;
    let (told, mut outcomes) = mpsc::unbounded_channel();
    let consumer = kser.consumer(registry(&told)?).with_topics(["messages"])?;
    let consumer = consumer
        .with_unknown_entrypoint_ttl(std::time::Duration::ZERO)
        .spawn();
    let mut letters = kser.dead_letters("messages").await?;

    for line in &lines {
        kser.producer().send_bytes("messages", line.clone()).await?;
    }
    let (mut answered, mut dead) = (0, 0);
    while answered + dead < lines.len() {
        tokio::select! {
            Some(outcome) = outcomes.recv() => {
                println!("{}", serde_json::to_string(&outcome)?);
                answered += 1;
            }
            letter = letters.next() => {
                let letter = letter?;
                eprintln!("dead letter: {}", letter.error().unwrap_or_default());
                letter.discard().await?;
                dead += 1;
            }
        }
    }
    letters.close().await?;
    consumer.stop().await?;
    println!("{answered} outcomes, {dead} dead letters");
    Ok(())
}
