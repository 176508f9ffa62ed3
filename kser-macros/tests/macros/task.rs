//! Tasks of every form, which the attribute leaves as they are.

use kser::{Context, Entrypoint, Json, Outcome, TaskError};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
struct DiceRoll {
    sides: u8,
}

#[derive(Serialize, Deserialize)]
struct Previous {}

#[derive(Clone)]
struct Database;

#[kser::task]
async fn params(_: DiceRoll) {}

#[kser::task]
async fn context(_: Context, DiceRoll { sides }: DiceRoll) -> String {
    sides.to_string()
}

#[kser::task]
async fn previous(_: DiceRoll, _: Previous) -> Result<Json<Previous>, TaskError> {
    Ok(Json(Previous {}))
}

#[kser::task]
async fn optional_previous(_: DiceRoll, _: Option<Previous>) -> (Json<Previous>, String) {
    (Json(Previous {}), "text".to_owned())
}

#[kser::task]
async fn context_and_previous(_: Context, _: DiceRoll, _: Previous) -> &'static str {
    "text"
}

#[kser::task]
async fn state(_: Database, _: DiceRoll) -> Result<Outcome, std::io::Error> {
    Ok(Outcome::default())
}

#[kser::task]
async fn static_state(_: &'static str, _: DiceRoll) -> std::io::Result<()> {
    Ok(())
}

#[kser::task]
async fn state_and_context(_: Database, _: Context, _: DiceRoll) -> impl kser::task::IntoOutcome {}

#[kser::task]
async fn state_and_previous(_: Database, _: DiceRoll, _: Previous) {}

#[kser::task(crate = kser)]
async fn everything(_: Database, _: Context, _: DiceRoll, _: Previous) {}

/// A bank of the program. Its futures are `Send` as far as its implementors say.
trait Bank: Clone + Send + Sync + 'static {
    async fn charge(&self, cents: u8);
}

impl Bank for Database {
    async fn charge(&self, _: u8) {}
}

#[kser::task]
async fn any_bank<B: Bank>(bank: B, _: Context, dice: DiceRoll) {
    bank.charge(dice.sides).await;
}

#[kser::task]
async fn any_params<P, const N: usize>(_: [u8; N], _: P)
where
    P: Entrypoint,
{
}

#[test]
fn every_form_is_registered() -> Result<(), kser::Error> {
    let none = || kser::Registry::new();
    none().task(params).build()?;
    none().task(context).build()?;
    none().task(previous).build()?;
    none().task(optional_previous).build()?;
    none().task(context_and_previous).build()?;
    none().task_with(Database, state).build()?;
    none().task_with("state", static_state).build()?;
    none().task_with(Database, state_and_context).build()?;
    none().task_with(Database, state_and_previous).build()?;
    none().task_with(Database, everything).build()?;
    none().task_with(Database, any_bank::<Database>).build()?;
    none().task_with([7], any_params::<DiceRoll, 1>).build()?;
    Ok(())
}

mod renamed {
    //! As in a program that has kser under another name, or through another crate.
    pub(crate) use kser as framework;

    #[framework::task(crate = framework)]
    pub(crate) async fn roll(_: super::DiceRoll) {}
}

#[test]
fn the_crate_may_have_another_name() -> Result<(), kser::Error> {
    kser::Registry::new().task(renamed::roll).build().map(drop)
}
