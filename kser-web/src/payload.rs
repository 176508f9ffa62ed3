//! Params, outcomes and payloads as they are shown: digit for digit, with the values of masked names hidden.

use kser::client::LogOptions;
use kser::message::Object;
use serde::Serialize;

use crate::html::text;
use crate::options::WebOptions;

/// The longest payload that is shown, in characters.
const LONGEST: usize = 20_000;

/// The beginnings of payloads that are encrypted, whole or in their parts.
const SEALED: [&str; 2] = ["{\"kser_sealed\"", "{\"data\":{\"kser_sealed\""];

/// The text in place of a payload that is encrypted.
const HIDDEN: &str = "<encrypted>";

/// Writes the bytes of a payload. Bytes that are no JSON object are shown as text.
pub(crate) fn bytes(options: &WebOptions, bytes: &[u8]) -> String {
    match serde_json::from_slice::<Object>(bytes) {
        Ok(payload) => object(options, &payload),
        Err(_) => text(&String::from_utf8_lossy(bytes), LONGEST),
    }
}

/// Writes a text that is JSON.
pub(crate) fn json(options: &WebOptions, json: &str) -> String {
    bytes(options, json.as_bytes())
}

/// Writes a value as JSON.
pub(crate) fn value<T: Serialize>(options: &WebOptions, value: &T) -> String {
    match Object::new(value) {
        Ok(payload) => object(options, &payload),
        Err(error) => format!("it has no form as JSON: {error}"),
    }
}

fn object(options: &WebOptions, payload: &Object) -> String {
    if SEALED
        .iter()
        .any(|begin| payload.as_str().starts_with(begin))
    {
        return HIDDEN.to_owned();
    }
    let log = LogOptions::default().with_params().with_longest(LONGEST);
    let log = log.with_masked(options.masked().iter().cloned());
    log.params(payload).unwrap_or_default()
}
