//! Operations whose first step leaves what it was given, and whose third tells what it was given.

use kser::message::Object;
use kser::{Context, Entrypoint, Error, Outcome, Registry};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

/// Numbers that most JSON libraries write otherwise: as `2.5`, less precise, or as infinity.
pub(crate) const ODD_NUMBERS: &str =
    r#"{"price":2.50,"pi":3.14159265358979323846264338327950288,"far":1e400}"#;

macro_rules! any_params {
    ($name:ident, $path:literal) => {
        #[derive(Serialize, Deserialize, Entrypoint)]
        #[entrypoint($path)]
        #[serde(transparent)]
        struct $name(Object);
    };
}

any_params!(First, "values.First");
any_params!(Third, "values.Third");

pub(crate) fn object(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// The first step leaves what it was given; the third tells what it was given.
pub(crate) fn values(told: &mpsc::UnboundedSender<(String, Outcome)>) -> Result<Registry, Error> {
    let told = told.clone();
    let first = async |first: First| Outcome::text("first").with_data(first.0);
    let third = move |ctx: Context, third: Third| {
        let given = (third.0.as_str().to_owned(), ctx.previous().clone());
        told.send(given).unwrap();
        async move { Outcome::text("third") }
    };
    Registry::new().task(first).task(third).build()
}
