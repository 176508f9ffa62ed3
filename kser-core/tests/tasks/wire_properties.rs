//! Any JSON passes through unchanged, and no bytes do harm.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use kser_core::sequencing::{External, PlannedStep, StepKey, carried};
use kser_core::{Message, Object, RetryPolicy, RunId, TaskError, Timestamp, Topic};
use proptest::prelude::*;
use std::time::Duration;

/// JSON text of any shape, with white space, odd numbers and escapes.
fn json() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,5})?";
    let string = "\"([ -!#-\\[\\]-~é🎲]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}){0,12}\"";
    let space = "[ \n\r\t]{0,2}";
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        number.prop_map(|text: String| text),
        string.prop_map(|text: String| text),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        let member = (string, space, inner.clone())
            .prop_map(|(key, space, value)| format!("{key}{space}:{value}"));
        prop_oneof![
            (prop::collection::vec(inner, 0..5), space).prop_map(|(values, space)| format!(
                "[{space}{}]",
                values.join(&format!("{space},"))
            )),
            (prop::collection::vec(member, 0..5), space)
                .prop_map(|(members, space)| format!("{{{}{space}}}", members.join(","))),
        ]
    })
}

fn object() -> impl Strategy<Value = String> {
    json().prop_map(|value| format!("{{\"x\":{value}}}"))
}

fn message(params: &str, retval: &str, metadata: &str) -> String {
    format!(
        r#"{{"uuid":"u","entrypoint":"a.B","params":{params},"result":{{"uuid":"r","retval":{retval}}},"metadata":{metadata}}}"#
    )
}

fn retval(object: &str) -> String {
    object.replace("\"x\":", "\"value\":")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_json_passes_through_byte_for_byte(params in object(), left in object(), metadata in object()) {
        let left = retval(&left);
        let text = message(&params, &left, &metadata);
        let decoded = Message::decode(text.as_bytes()).unwrap();
        let again = Message::decode(&decoded.encode().unwrap()).unwrap();
        for message in [&decoded, &again] {
            prop_assert_eq!(message.params.as_str(), &params);
            prop_assert_eq!(message.result.data().as_str(), &left);
            let x = message.metadata.get("x").unwrap().as_str();
            let value = &metadata[5..metadata.len() - 1];
            prop_assert_eq!(x, value.trim_matches([' ', '\n', '\r', '\t']));
        }
        prop_assert_eq!(&decoded, &again);
    }

    /// What we accept, a strict reader accepts too.
    #[test]
    fn nothing_that_is_no_json_is_accepted(params in object(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = message(&params, "{}", "{}").into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(message) = Message::decode(&bytes) {
            let strict: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&bytes);
            prop_assert!(strict.is_ok(), "{:?}", strict);
            Message::decode(&message.encode().unwrap()).unwrap();
        }
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn a_text_that_is_cut_is_refused(params in object(), at in any::<prop::sample::Index>()) {
        let text = message(&params, "{}", "{}");
        let cut = &text.as_bytes()[..at.index(text.len())];
        prop_assert!(Message::decode(cut).is_err());
    }

    #[test]
    fn carried_steps_come_back_one_by_one(steps in prop::collection::vec(step(), 1..12)) {
        let run = RunId::from("run-1");
        let steps: Vec<_> = (1..).zip(steps).map(|(position, mut step): (u32, PlannedStep)| {
            step.key.position = position;
            if step.key.uuid.as_str().is_empty() {
                step.key.uuid = run.step(position);
            }
            step
        }).collect();
        let mut plan = Some(carried::encode(&run, &steps));
        for expected in &steps {
            let (step, rest) = carried::split(&plan.unwrap(), &run, expected.key.position).unwrap();
            prop_assert_eq!(&step, expected);
            plan = rest;
        }
        prop_assert_eq!(plan, None);
    }

    /// For every policy and every attempt the wait lies between the first and the longest.
    #[test]
    fn a_wait_lies_between_the_first_and_the_longest(
        first in 0_u64..400 * 24 * 3_600_000,
        longest in 0_u64..400 * 24 * 3_600_000,
        attempts in any::<u32>(),
        attempt in any::<u32>(),
        task in ".{0,20}",
    ) {
        let (first, longest) = (Duration::from_millis(first), Duration::from_millis(longest));
        let policy = RetryPolicy::exponential(attempts, first).max_delay(longest);
        let year = Duration::from_secs(365 * 24 * 3600);
        let (attempts, longest) = (attempts.max(1), longest.min(year));
        let first = first.min(longest);
        let now = Timestamp::from_millis(1_000_000);
        let error = TaskError::new("Temporary", "again");
        let next = policy.next(&task.as_str().into(), attempt, &error, None, now);
        prop_assert_eq!(next.is_some(), attempt < attempts);
        if let Some(next) = next {
            let wait = next.since(now);
            prop_assert!(first <= wait && wait <= longest, "{first:?} <= {wait:?} <= {longest:?}");
        }
    }
}

fn step() -> impl Strategy<Value = PlannedStep> {
    let external = prop::option::of((0_u64..1_000_000, 1_u32..5));
    let id = prop_oneof![Just(String::new()), "[a-zé\"\\\\]{1,9}"];
    (
        object(),
        id,
        prop::option::of("[a-z.]{3,9}"),
        prop::option::of(".{0,9}"),
        external,
    )
        .prop_map(|(params, uuid, topic, key, external)| {
            let text = message(&params, "{}", "{}");
            let params: Object = Message::decode(text.as_bytes()).unwrap().params;
            let key_of = StepKey {
                position: 1,
                uuid: uuid.as_str().into(),
                entrypoint: "a.B".into(),
            };
            let mut step = PlannedStep::new(key_of, params);
            step.topic = topic.map(|topic| Topic::new(topic).unwrap());
            step.record_key = key;
            step.external = external.map(|(limit, attempts)| {
                let mut external = External::new(Duration::from_millis(limit));
                external.attempts = attempts;
                external
            });
            step
        })
}

#[test]
fn depth_never_kills() {
    for levels in [129, 500, 900] {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let decoded = Message::decode(message(&deep, "{}", "{}").as_bytes()).unwrap();
        assert_eq!(decoded.params.as_str(), deep);
        assert!(
            decoded.params.parse::<serde_json::Value>().is_err(),
            "a type that cannot read it"
        );
        let _ = format!("{:?} {}", decoded.params, decoded.params.compact());
    }
    for text in [
        "[".repeat(100_000),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
    ] {
        let error = Message::decode(message(&format!("{{\"x\":{text}}}"), "{}", "{}").as_bytes());
        let error = std::error::Error::source(&error.unwrap_err())
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("more than 1000 levels of nesting at line 1"),
            "{error}"
        );
    }
}
