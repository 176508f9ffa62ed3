//! What a message may hold to do harm, and what a task may leave that cannot be sent.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeMap;

use kser_core::{Message, Metadata, Object, Outcome, Raw, TaskError};
use serde::Serialize;

fn decode(text: &str) -> Message {
    Message::decode(text.as_bytes()).unwrap()
}

/// A megabyte of names: a look at each name for each name would take minutes.
#[test]
fn a_hundred_thousand_names_are_read_and_merged() {
    let names = |prefix: &str| {
        let members: Vec<_> = (0..100_000).map(|n| format!("\"{prefix}{n}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    let text = format!(
        r#"{{"uuid":"u","entrypoint":"a.B","result":{{"retval":{}}},"metadata":{}}}"#,
        names("error"),
        names("m")
    );
    let message = decode(&text);
    assert_eq!(message.metadata.iter().count(), 100_000);
    assert!(message.result.is_success());
    let later: Object = serde_json::from_str(&names("later")).unwrap();
    let merged = message.result.merge(&Outcome::default().with_data(later));
    assert_eq!(merged.data().fields().iter().count(), 200_000);
}

#[test]
fn of_many_envelopes_the_last_counts_and_a_foreign_one_keeps_its_place() {
    let metadata = |kser: &str| {
        let text = format!(
            r#"{{"uuid":"u","entrypoint":"a.B","metadata":{{"a":1,"kser":{{"v":1}},"b":2,{kser}}}}}"#
        );
        Message::decode(text.as_bytes()).map(|message| message.metadata)
    };
    let names = |metadata: &Metadata| -> String { metadata.iter().map(|(name, _)| name).collect() };
    let foreign = metadata(r#""kser":"mine""#).unwrap();
    assert!(foreign.foreign_kser());
    assert_eq!(names(&foreign), "akserb");
    let newer = metadata(r#""kser":{"v":7}"#).unwrap();
    assert_eq!(newer.newer_version(), Some(7));
    let ours = metadata(r#""kser":{"v":1,"run":"r","name":"n","mode":"stored"}"#).unwrap();
    assert_eq!(ours.envelope().unwrap().run.as_str(), "r");
    assert_eq!(names(&ours), "ab");
    metadata(r#""c":3"#).unwrap_err();
}

#[test]
fn a_field_whose_name_begins_with_a_dollar_holds_no_nan_either() {
    #[derive(Serialize)]
    struct Price {
        #[serde(rename = "$price")]
        price: f64,
    }
    Object::new(&Price { price: 1.5 }).unwrap();
    let error = Object::new(&Price { price: f64::NAN }).unwrap_err();
    let error = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(error, "$price: NaN is no JSON value");
}

/// What a task leaves rides in the next message, a plan in the metadata of one: what is written must be readable there.
#[test]
fn what_is_too_deep_to_be_read_is_not_written() {
    let nested = |levels: usize| {
        let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        Raw::from_slice(text.as_bytes()).unwrap()
    };
    let field = |levels| BTreeMap::from([("x", nested(levels))]);
    let outcome = Outcome::json(&field(900)).unwrap();
    let mut message = decode(r#"{"uuid":"u","entrypoint":"a.B"}"#);
    message.result = outcome;
    decode(std::str::from_utf8(&message.encode().unwrap()).unwrap());
    let error = Outcome::json(&field(1000)).unwrap_err();
    let error = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.contains("levels of nesting"), "{error}");
    let text = format!("{{\"x\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
    serde_json::from_str::<Object>(&text).unwrap_err();
}

#[test]
fn an_error_whose_data_is_too_deep_is_still_a_failure() {
    let text = format!("{{\"x\":{}{}}}", "[".repeat(999), "]".repeat(999));
    let extra = Raw::from_slice(text.as_bytes())
        .unwrap()
        .parse::<Object>()
        .unwrap();
    let error = TaskError::new("Odd", "no").with_code(204).with_extra(extra);
    let outcome = Outcome::from(&error);
    assert!(!outcome.is_success());
    assert_eq!(outcome.error().unwrap().name(), "Odd");
}

#[test]
fn the_length_that_limits_look_at_is_the_one_that_is_sent() {
    for text in [
        "",
        "plain",
        "\u{1}\u{2}\"\\\n",
        &"\u{1}".repeat(4000),
        &"a".repeat(5000),
    ] {
        let outcome = Outcome::text(text)
            .with_error_message(text)
            .with_uuid("u".into());
        let size = outcome.encoded_len();
        assert_eq!(size, serde_json::to_vec(&outcome).unwrap().len());
        assert!(outcome.fits(size) && !outcome.fits(size - 1), "{text:?}");
    }
}
