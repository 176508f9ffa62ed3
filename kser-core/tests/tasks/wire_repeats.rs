//! Of two equal names in one object only the last counts, as in Python's `json.loads`, wherever they are in a message.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use kser_core::{Message, Object};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

type Members = Vec<(&'static str, String)>;

/// An object as text, with names that may occur more than once.
fn text(members: &Members) -> String {
    let members = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// The members of an object that can be read, in any order, among others that come first, and a few that come last.
fn members(
    good: Members,
    each: impl Strategy<Value = (&'static str, String)> + Clone + 'static,
) -> BoxedStrategy<Members> {
    let first = prop::collection::vec(each.clone(), 0..6);
    let last = prop::collection::vec(each, 0..2);
    (first, Just(good).prop_shuffle(), last, any::<bool>())
        .prop_map(|(first, good, last, has_last)| {
            let last = last.into_iter().filter(move |_| has_last);
            first.into_iter().chain(good).chain(last).collect()
        })
        .boxed()
}

fn one_of(
    names: &'static [&'static str],
    values: impl Strategy<Value = String> + Clone + 'static,
) -> impl Strategy<Value = (&'static str, String)> + Clone + 'static {
    (prop::sample::select(names), values)
}

fn value() -> impl Strategy<Value = String> + Clone {
    let values = [
        "null",
        "true",
        "5",
        "-1",
        "\"x\"",
        "\"404\"",
        "\"stored\"",
        "[]",
        "[{\"entrypoint\":\"a.C\"}]",
        "{}",
        "{\"x\":null,\"x\":\"good\"}",
        "{\"error\":1,\"error\":null}",
    ];
    prop::sample::select(values.to_vec()).prop_map(str::to_owned)
}

fn good(members: &[(&'static str, &str)]) -> Members {
    let members = members.iter();
    members
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

fn result() -> BoxedStrategy<String> {
    const NAMES: &[&str] = &[
        "uuid",
        "retcode",
        "\\u0072etcode",
        "stdout",
        "stderr",
        "retval",
        "other",
    ];
    let members = members(
        good(&[("uuid", "\"r\""), ("retcode", "3"), ("retval", "{\"a\":1}")]),
        one_of(NAMES, value()),
    );
    members.prop_map(|members| text(&members)).boxed()
}

fn kser() -> BoxedStrategy<String> {
    const NAMES: &[&str] = &[
        "v",
        "run",
        "name",
        "mode",
        "step",
        "of",
        "version",
        "stamp",
        "life",
        "attempts",
        "started",
        "uncounted",
        "unreported",
        "launch",
        "step_events",
        "status_hook",
        "store",
        "reply",
        "plan",
        "later",
    ];
    let needed = good(&[
        ("v", "1"),
        ("run", "\"r\""),
        ("name", "\"a.B\""),
        ("mode", "\"stored\""),
        ("of", "7"),
    ]);
    members(needed, one_of(NAMES, value()))
        .prop_map(|members| text(&members))
        .boxed()
}

fn metadata() -> BoxedStrategy<String> {
    const NAMES: &[&str] = &["tracing", "note", "kser"];
    let any = one_of(NAMES, value());
    (members(good(&[]), any), prop::option::of(kser()))
        .prop_map(|(mut members, kser)| {
            members.extend(kser.map(|kser| ("kser", kser)));
            text(&members)
        })
        .boxed()
}

fn message() -> BoxedStrategy<String> {
    const NAMES: &[&str] = &[
        "uuid",
        "\\u0075uid",
        "entrypoint",
        "params",
        "result",
        "metadata",
        "other",
    ];
    (result(), metadata())
        .prop_flat_map(|(result, metadata)| {
            let needed = good(&[
                ("uuid", "\"u\""),
                ("entrypoint", "\"a.B\""),
                ("params", "{\"a\":1}"),
                ("result", &result),
                ("metadata", &metadata),
            ]);
            members(needed, one_of(NAMES, value()))
        })
        .prop_map(|members| text(&members))
        .boxed()
}

/// The document as a map reads it: with the last of equal names alone.
fn last(text: &str) -> String {
    serde_json::from_str::<Value>(text).unwrap().to_string()
}

fn read(text: &str) -> Option<Value> {
    let message = Message::decode(text.as_bytes()).ok()?;
    Some(serde_json::from_slice(&message.encode().unwrap()).unwrap())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    x: u8,
    y: Option<String>,
    #[serde(default)]
    lines: Vec<Line>,
    #[serde(flatten)]
    kind: Kind,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    z: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Kind {
    Small,
    Large { w: u8 },
}

fn order() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &["x", "\\u0078", "y", "lines", "kind", "w", "other"];
    let values = [
        "null",
        "1",
        "256",
        "\"good\"",
        "\"Large\"",
        "[]",
        "[{\"z\":null,\"z\":1}]",
        "{\"z\":1}",
    ];
    let values = prop::sample::select(values.to_vec()).prop_map(str::to_owned);
    let needed = good(&[("x", "1"), ("y", "null"), ("kind", "\"Small\"")]);
    members(needed, one_of(NAMES, values)).prop_map(|members| text(&members))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_message_is_read_as_a_map_reads_it(message in message()) {
        prop_assert_eq!(read(&message), read(&last(&message)));
    }

    #[test]
    fn params_are_read_as_a_map_reads_them(order in order()) {
        let object: Object = serde_json::from_str(&order).unwrap();
        let expected = serde_json::from_str::<Order>(&last(&order)).ok();
        prop_assert_eq!(object.parse::<Order>().ok(), expected);
    }
}

/// The default result is taken whole, where its bytes are those of its id.
#[test]
fn a_default_result_is_that_of_its_own_id() {
    let result = r#"{"uuid":"a","x":"b","retcode":0,"stdout":"","stderr":"","retval":{}}"#;
    for (uuid, expected) in [(r#"a\",\"x\":\"b"#, "a"), ("a", "a"), (r"\u0061", "a")] {
        let text = format!(
            r#"{{"uuid":"{uuid}","entrypoint":"a.B","params":{{}},"result":{result},"metadata":{{}}}}"#
        );
        let message = Message::decode(text.as_bytes()).unwrap();
        assert_eq!(message.result.uuid().unwrap().as_str(), expected, "{text}");
        let again = Message::decode(&message.encode().unwrap()).unwrap();
        assert_eq!(again, message);
    }
    let text = r#"{"uuid":"a","entrypoint":"a.B","params":{},"result":{"uuid":"b","retcode":0,"stdout":"","stderr":"","retval":{}},"metadata":{}}"#;
    let message = Message::decode(text.as_bytes()).unwrap();
    assert_eq!(message.result.uuid().unwrap().as_str(), "b");
}
