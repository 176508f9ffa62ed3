//! Strategies for property tests with `proptest`: operations, params, outcomes and faults.
//!
//! ```
//! use kser::{Context, Entrypoint, TaskError};
//! use kser_testkit::{Sim, strategies};
//! use proptest::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize, Entrypoint)]
//! #[entrypoint("diary.Note")]
//! struct Note {
//!     text: String,
//! }
//!
//!
//! fn diary() -> Sim<kser::run::RunId> {
//!     Sim::new(|world| {
//!         let diary = world.effects("diary");
//!         let write = move |ctx: Context, _: Note| {
//!             let diary = diary.clone();
//!             async move { diary.call("write").with_key(ctx.idempotency_key()).await }
//!         };
//!         world.consumers(2).task(write);
//!         let note = Note { text: "a quiet day".into() };
//!         world.launch_steps("diary.Week", vec![kser::Step::new(note); 2])
//!     })
//! }
//!
//! proptest!(ProptestConfig::with_cases(8), |(plan in strategies::plans(diary().sites(), 3))| {
//!     let checked = diary().plan(plan).try_check(|run| assert!(run.status(run.state).is_some()));
//!     prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
//! });
//! ```

use kser_core::{Name, Object, Outcome, Step};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::Plan;
use crate::faults::{Fault, Site};

/// Draws plans in which at most `most` of these faults happen, in any order of events. They shrink to fewer and milder faults,
/// and to the usual order.
pub fn plans(sites: Vec<(Site, Fault)>, most: usize) -> impl Strategy<Value = Plan> {
    let mut sites = sites;
    // Smaller indexes are milder faults.
    sites.sort_by_key(|(_, fault)| *fault);
    let faults = vec(any::<Index>(), 0..=most);
    let picks = vec(prop_oneof![8 => Just(0_u32), 2 => 0_u32..4], 0..40);
    (faults, picks).prop_map(move |(drawn, picks)| {
        let drawn = drawn.iter().filter(|_| !sites.is_empty());
        let mut plan = Plan::new(drawn.map(|index| index.get(&sites).clone()).collect());
        plan.picks = picks;
        plan
    })
}

/// Draws the steps of operations: at least one and at most `most`, each of one of these entrypoints, with params of its own.
pub fn steps(entrypoints: Vec<Name>, most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<Index>(), params()).prop_map(move |(index, params)| {
        let name = match entrypoints.is_empty() {
            true => Name::from("nothing.Nothing"),
            false => index.get(&entrypoints).clone(),
        };
        Step::named(name, &params)
    });
    vec(step, 1..=most.max(1))
}

/// Draws params: objects of text, numbers of any size, and nested values.
pub fn params() -> impl Strategy<Value = Object> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        Just("2.50".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        "[a-z ]{0,8}".prop_map(|text| format!("{text:?}")),
        Just("\"\\u0000\\ud83c\"".to_owned()),
    ];
    let value = leaf.prop_recursive(2, 8, 3, |inner| {
        vec(inner, 0..3).prop_map(|values| format!("[{}]", values.join(",")))
    });
    let members = proptest::collection::btree_map("[a-z]{1,6}", value, 0..4);
    members.prop_map(|members| {
        let members = members
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"));
        let members: Vec<String> = members.collect();
        object(&members.join(","))
    })
}

/// Draws outcomes of handlers: successes and failures, with text and values.
pub fn outcomes() -> impl Strategy<Value = Outcome> {
    let retcode = prop_oneof![4 => Just(0_i64), 1 => 1_i64..300, 2 => 300_i64..600];
    let (text, error) = ("[ -~]{0,12}", "[ -~]{0,12}");
    (retcode, text, error, params()).prop_map(|(retcode, text, error, retval)| {
        let outcome = Outcome::text(text).with_error_message(error);
        outcome.with_code(retcode).with_data(retval)
    })
}

/// An object of these members, as the wire has them: they are well formed.
fn object(members: &str) -> Object {
    let message = format!(r#"{{"uuid":"","entrypoint":"","params":{{{members}}}}}"#);
    let message = kser_core::Message::decode(message.as_bytes());
    message.map(|message| message.params).unwrap_or_default()
}
