//! How handlers get into a registry.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kser_core::{
    Context, Entrypoint, Error, Handler, IntoTaskWith, Message, Operation, Outcome, Registry,
    RegistryBuilder, Step, TaskError,
};
use serde::{Deserialize, Serialize};

macro_rules! entrypoint {
    ($name:ident { $($field:ident : $type:ty),* } = $path:literal) => {
        #[derive(Clone, Serialize, Deserialize)]
        struct $name { $($field: $type),* }
        impl Entrypoint for $name {
            const PATH: &'static str = $path;
        }
    };
}

entrypoint!(Roll { sides: u8 } = "dice.Roll");
entrypoint!(Game {} = "dice.Game");
entrypoint!(Nameless {} = "");

struct Launch;

impl Operation for Launch {
    type Params = Game;

    async fn build_tasks(&self, _: &Context, _: Game) -> Result<Vec<Step>, TaskError> {
        Ok(Vec::new())
    }
}

/// An operation with a status hook.
struct Told;

impl Operation for Told {
    type Params = Game;
    const STATUS_HOOK: bool = true;

    async fn build_tasks(&self, _: &Context, _: Game) -> Result<Vec<Step>, TaskError> {
        Ok(Vec::new())
    }
}

#[test]
fn an_empty_name_is_refused() {
    let registry = Registry::new().task(|_: Nameless| async {}).build();
    let error = registry.unwrap_err().to_string();
    assert_eq!(error, "an entrypoint: its PATH is empty");
}

#[test]
fn a_name_is_registered_once_that_of_a_status_hook_too() {
    entrypoint!(Squatter {} = "dice.Game#status");
    let squatter = |_: Squatter| async {};
    let roll = |_: Roll| async {};
    let game = |_: Game| async {};
    let duplicate = |registry: RegistryBuilder, name: &str| match registry.build() {
        Err(Error::Duplicate { entrypoints }) => assert_eq!(entrypoints, [name.into()]),
        other => panic!("{other:?}"),
    };
    let new = Registry::new;
    duplicate(new().task(roll).task(roll), "dice.Roll");
    duplicate(new().task(game).operation(Launch), "dice.Game");
    duplicate(new().operation(Launch).task(game), "dice.Game");
    duplicate(new().operation(Told).task(squatter), "dice.Game#status");
    duplicate(new().task(squatter).operation(Told), "dice.Game#status");
    let registry = new().operation(Told).task(roll).build().unwrap();
    let names: Vec<_> = registry.entrypoints().map(|name| name.as_str()).collect();
    assert_eq!(names, ["dice.Game", "dice.Roll"]);
    assert!(matches!(
        registry.get(&"dice.Game#status".into()),
        Some(Handler::Status(_))
    ));
    assert!(registry.get(&"nobody".into()).is_none());
}

#[test]
fn one_error_names_all_duplicates() {
    let (roll, game) = (|_: Roll| async {}, |_: Game| async {});
    let registry = Registry::new().task(roll).task(game).task(roll);
    let error = registry.task(game).task(game).build().unwrap_err();
    let expected = "registered more than once: dice.Game, dice.Roll";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_registry_can_be_added_to() {
    let dice = Registry::new().task(|_: Roll| async {}).build().unwrap();
    let all = dice.into_builder().operation(Launch).build().unwrap();
    assert_eq!(all.entrypoints().count(), 2);
    let twice = all.into_builder().task(|_: Roll| async {}).build();
    assert!(matches!(twice, Err(Error::Duplicate { .. })), "{twice:?}");
}

#[tokio::test]
async fn each_attempt_gets_a_clone_of_the_state() {
    let given = Outcome::json(&Roll { sides: 20 }).unwrap();
    let given = serde_json::to_string(&given).unwrap();
    let text = format!(
        r#"{{"uuid":"run-1","entrypoint":"dice.Roll","params":{{"sides":6}},"result":{given}}}"#
    );
    let message = Message::decode(text.as_bytes()).unwrap();

    type Told = Arc<Mutex<Vec<String>>>;
    async fn plain(told: Told, roll: Roll) {
        told.lock()
            .unwrap()
            .push(format!("a die of {}", roll.sides));
    }
    async fn knowing(told: Told, ctx: Context, roll: Roll) {
        let text = format!("{} {}", ctx.uuid(), roll.sides);
        told.lock().unwrap().push(text);
    }
    async fn after(told: Told, roll: Roll, before: Roll) {
        let text = format!("{} after {}", roll.sides, before.sides);
        told.lock().unwrap().push(text);
    }
    async fn all(told: Told, ctx: Context, roll: Roll, before: Roll) {
        let text = format!("{} {} after {}", ctx.uuid(), roll.sides, before.sides);
        told.lock().unwrap().push(text);
    }

    let told = Told::default();
    let new = Registry::new;
    let limit = Duration::from_secs(5);
    let limited = plain.with_state(Arc::clone(&told)).with_time_limit(limit);
    for registry in [
        new().task(limited),
        new().task_with(Arc::clone(&told), knowing),
        new().task_with(Arc::clone(&told), after),
        new().task_with(Arc::clone(&told), all),
    ] {
        let registry = registry.build().unwrap();
        assert!(registry.execute(&message).await.is_success());
    }
    let expected = ["a die of 6", "run-1 6", "6 after 20", "run-1 6 after 20"];
    assert_eq!(*told.lock().unwrap(), expected);
}
