//! The derive, and the forms of params that it takes.

use kser::message::Object;
use kser::{Context, Entrypoint, Registry, TaskError};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

/// A struct that wraps an object is one.
#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.Any")]
struct Any(Object);

/// Attributes of serde may give a tuple another form.
#[derive(Serialize, Deserialize, Entrypoint)]
#[serde(from = "DiceRoll", into = "DiceRoll")]
#[entrypoint("dice.Pair")]
struct Pair(u8, u8);

impl Clone for Pair {
    fn clone(&self) -> Self {
        Self(self.0, self.1)
    }
}

impl From<DiceRoll> for Pair {
    fn from(dice: DiceRoll) -> Self {
        Self(1, dice.sides)
    }
}

impl From<Pair> for DiceRoll {
    fn from(pair: Pair) -> Self {
        Self { sides: pair.1 }
    }
}

mod elsewhere {
    //! As a framework that programs have kser from.
    pub(crate) use kser as framework;
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.Elsewhere", crate = elsewhere::framework)]
struct Elsewhere {}

/// The traits are those of `kser-core`, under whatever path.
#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.Core", crate = kser::task)]
struct Core {}

#[test]
fn the_attribute_names_the_params() {
    assert_eq!(DiceRoll::PATH, "dice.DiceRoll");
    assert_eq!(Any::PATH, "dice.Any");
    assert_eq!(Pair::PATH, "dice.Pair");
    assert_eq!(Elsewhere::PATH, "dice.Elsewhere");
    assert_eq!(Core::PATH, "dice.Core");
}

#[tokio::test]
async fn a_task_of_such_params_runs() -> Result<(), kser::Error> {
    async fn roll(_: Context, dice: DiceRoll) -> Result<String, TaskError> {
        Ok(format!("You made a {}", dice.sides))
    }
    let registry = Registry::new().task(roll).build()?;
    let message = r#"{"uuid": "1", "entrypoint": "dice.DiceRoll", "params": {"sides": 6}}"#;
    let message = kser::message::Message::decode(message.as_bytes())?;
    let outcome = registry.execute(&message).await;
    assert_eq!(outcome.message(), "You made a 6");
    Ok(())
}
