//! One test for each envelope that the Python package kser-crypto wrote, and for odd ones, with the right result of each.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use bytes::Bytes;
use kser_core::{Message, Topic};
use kser_encryption::{Key, KeyId, KeyRing, Reading, Writing, open, seal};
use serde_json::Value;

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn ring(key: &str) -> Result<KeyRing, String> {
    let key = Key::from_base64(key).map_err(|error| error.to_string())?;
    Ok(KeyRing::new(KeyId::new("secretbox").unwrap(), key))
}

fn dice() -> Topic {
    Topic::new("dice").unwrap()
}

fn opened(ring: &KeyRing, envelope: &str) -> Result<Bytes, String> {
    let envelope = Bytes::copy_from_slice(envelope.as_bytes());
    let opened = open(ring, Reading::Require, &envelope, &dice());
    opened
        .map(|opened| opened.plain)
        .map_err(|error| error.to_string())
}

#[test]
fn envelopes_of_the_python_package_are_read() {
    let mut count = 0;
    for line in lines(include_str!("wire/encrypted.jsonl")) {
        let ring = ring(line["key"].as_str().unwrap()).unwrap();
        let plain = opened(&ring, line["envelope"].as_str().unwrap()).unwrap();
        let read: Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(read, line["plain"]);
        // The same text, written here and read here.
        let again = seal(&ring, Writing::Version1, plain.clone(), &dice()).unwrap();
        assert_eq!(again.len(), line["envelope"].as_str().unwrap().len());
        assert_eq!(
            opened(&ring, std::str::from_utf8(&again).unwrap()).unwrap(),
            plain
        );
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn odd_envelopes_are_read_as_the_python_package_reads_them() {
    let mut count = 0;
    for case in lines(include_str!("wire/cases.jsonl")) {
        let name = &case["name"];
        let read = ring(case["key_b64"].as_str().unwrap())
            .and_then(|ring| opened(&ring, case["raw"].as_str().unwrap()));
        match case["expect"].as_str().unwrap() {
            "ok" => {
                let message = Message::decode(&read.unwrap()).unwrap();
                assert_eq!(message.uuid.as_str(), case["want"]["uuid"], "{name}");
            }
            _ => assert!(read.is_err(), "{name}"),
        }
        count += 1;
    }
    assert_eq!(count, 8);
}
