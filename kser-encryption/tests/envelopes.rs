//! Envelopes withstand changes, cuts, other topics, other keys, and any bytes at all.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use bytes::Bytes;
use kser_core::Topic;
use kser_encryption::{
    Key, KeyId, KeyRing, OpenError, Opened, Reading, Writing, open, seal, sealed_len,
};
use proptest::prelude::*;

const TEXT: &str = r#"{"uuid": "872c", "entrypoint": "dice.DiceRoll", "params": {"sides": 6}}"#;
const ENVELOPES: [Writing; 3] = [
    Writing::Version1,
    Writing::Version2,
    Writing::Version2Compressed,
];

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

fn id(id: &str) -> KeyId {
    KeyId::new(id).unwrap()
}

fn ring() -> KeyRing {
    KeyRing::new(id("new"), key(1))
        .with_reader(id("old"), key(2))
        .unwrap()
}

fn sealed(ring: &KeyRing, writing: Writing, text: &str) -> Bytes {
    let plain = Bytes::copy_from_slice(text.as_bytes());
    seal(ring, writing, plain, &topic("dice")).unwrap()
}

fn read(ring: &KeyRing, payload: &[u8]) -> Result<Opened, OpenError> {
    let payload = Bytes::copy_from_slice(payload);
    open(ring, Reading::Require, &payload, &topic("dice"))
}

#[test]
fn any_key_of_the_ring_reads_and_is_named() {
    let old = KeyRing::new(id("old"), key(2));
    for writing in ENVELOPES {
        for (writer, name) in [(&ring(), "new"), (&old, "old")] {
            let opened = read(&ring(), &sealed(writer, writing, TEXT)).unwrap();
            assert_eq!(opened.plain, TEXT);
            assert_eq!(opened.key, Some(id(name)));
        }
    }
}

#[test]
fn the_key_that_is_missing_is_named_and_may_still_come() {
    let old = KeyRing::new(id("old"), key(2));
    let error = read(&old, &sealed(&ring(), Writing::Version2, TEXT)).unwrap_err();
    assert_eq!(error, OpenError::MissingKey { id: id("new") });
    assert!(error.is_temporary());
    // Version 1 does not name its key.
    let error = read(&old, &sealed(&ring(), Writing::Version1, TEXT)).unwrap_err();
    assert_eq!(error, OpenError::NoKeyOpens);
    assert!(error.is_temporary());
}

#[test]
fn no_two_envelopes_are_equal() {
    for writing in ENVELOPES {
        let envelopes = (0..100).map(|_| sealed(&ring(), writing, TEXT));
        let different: std::collections::BTreeSet<Bytes> = envelopes.collect();
        assert_eq!(different.len(), 100, "{writing:?}");
    }
}

#[test]
fn an_envelope_has_no_field_that_is_not_authenticated() {
    for writing in ENVELOPES {
        let envelope = sealed(&ring(), writing, TEXT);
        let envelope = std::str::from_utf8(&envelope).unwrap();
        let more = format!("{}, \"more\": 1}}", &envelope[..envelope.len() - 1]);
        let error = read(&ring(), more.as_bytes()).unwrap_err();
        assert!(matches!(error, OpenError::Malformed { .. }), "{error}");
        let payload = Bytes::from(more);
        assert!(open(&ring(), Reading::AllowPlain, &payload, &topic("dice")).is_err());
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    for writing in ENVELOPES {
        let text = format!("{TEXT}{}", " ".repeat(300));
        let envelope = sealed(&ring(), writing, &text);
        for at in 0..envelope.len() {
            for flip in [0x01, 0x02, 0x20, 0x80] {
                let mut changed = envelope.to_vec();
                changed[at] ^= flip;
                // Version 1 skips characters outside the alphabet only where they stand for nothing, as its line ends do.
                if let Ok(opened) = read(&ring(), &changed) {
                    assert_eq!(opened.plain, text, "byte {at}");
                    assert_eq!(writing, Writing::Version1, "byte {at}");
                }
            }
        }
    }
}

#[test]
fn every_cut_is_noticed() {
    for writing in ENVELOPES {
        let envelope = sealed(&ring(), writing, TEXT);
        for length in 0..envelope.len() {
            let error = read(&ring(), &envelope[..length]).unwrap_err();
            assert!(!error.is_temporary(), "{length}: {error}");
            // Under `allow_plain` a cut envelope is no plain message either, if its beginning is left.
            if length >= "{\"kser_sealed\"".len() {
                let cut = envelope.slice(..length);
                assert!(open(&ring(), Reading::AllowPlain, &cut, &topic("dice")).is_err());
            }
            assert!(read(&ring(), &envelope[envelope.len() - length..]).is_err());
        }
    }
}

#[test]
fn an_envelope_of_another_topic_is_refused() {
    let envelope = sealed(&ring(), Writing::Version2, TEXT);
    let error = open(&ring(), Reading::Require, &envelope, &topic("casino")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the envelope was written for topic dice, and was found in casino"
    );
    // Its topic cannot be replaced either.
    let text = std::str::from_utf8(&envelope).unwrap();
    let replaced = Bytes::from(text.replace("\"dice\"", "\"casino\""));
    let error = open(&ring(), Reading::Require, &replaced, &topic("casino")).unwrap_err();
    assert_eq!(error, OpenError::Changed { id: id("new") });
}

#[test]
fn neither_the_key_id_nor_the_compression_can_be_replaced() {
    let text = format!("{TEXT}{}", " ".repeat(300));
    let envelope = sealed(&ring(), Writing::Version2Compressed, &text);
    let envelope = std::str::from_utf8(&envelope).unwrap();
    assert!(envelope.contains(r#","zip":"lz4","#));
    for replaced in [
        envelope.replace("\"new\"", "\"old\""),
        envelope.replace(r#","zip":"lz4""#, ""),
    ] {
        let error = read(&ring(), replaced.as_bytes()).unwrap_err();
        assert!(matches!(error, OpenError::Changed { .. }), "{error}");
    }
}

#[test]
fn an_envelope_in_another_form_of_json_is_read() {
    let envelope = sealed(&ring(), Writing::Version2, TEXT);
    let value: serde_json::Value = serde_json::from_slice(&envelope).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    assert_ne!(pretty.as_bytes(), &envelope[..]);
    assert_eq!(read(&ring(), pretty.as_bytes()).unwrap().plain, TEXT);
    let escaped = String::from_utf8(envelope.to_vec()).unwrap();
    let escaped = escaped.replace("\"dice\"", "\"d\\u0069ce\"");
    assert_eq!(read(&ring(), escaped.as_bytes()).unwrap().plain, TEXT);
}

#[test]
fn a_newer_version_waits_for_a_newer_program() {
    let error = read(&ring(), br#"{"kser_sealed": 3, "anything": 1}"#).unwrap_err();
    assert_eq!(error, OpenError::NewerVersion { version: 3 });
    assert!(error.is_temporary());
    for version in ["0", "1", "-1", "2.5", "\"2\"", "null"] {
        let text = format!(r#"{{"kser_sealed": {version}, "key": "new"}}"#);
        let error = read(&ring(), text.as_bytes()).unwrap_err();
        assert!(matches!(error, OpenError::Malformed { .. }), "{version}");
    }
}

#[test]
fn a_plain_message_is_read_where_the_policy_allows_it() {
    let plain = Bytes::from_static(TEXT.as_bytes());
    let dice = topic("dice");
    let error = open(&ring(), Reading::Require, &plain, &dice).unwrap_err();
    assert_eq!(error, OpenError::Plain);
    assert!(!error.is_temporary());
    let opened = open(&ring(), Reading::AllowPlain, &plain, &dice).unwrap();
    assert_eq!((opened.plain, opened.key), (plain, None));
    // An envelope stays one: a changed one does not pass as a plain message.
    for writing in ENVELOPES {
        let mut changed = sealed(&ring(), writing, TEXT).to_vec();
        let end = changed.len() - 12;
        changed[end] ^= 1;
        let changed = Bytes::from(changed);
        assert!(open(&ring(), Reading::AllowPlain, &changed, &dice).is_err());
    }
    // A message may have fields of its own that are called so.
    let own = Bytes::from(format!(
        "{},\"data\": \"x\", \"nonce\": 1}}",
        &TEXT[..TEXT.len() - 1]
    ));
    let opened = open(&ring(), Reading::AllowPlain, &own, &dice).unwrap();
    assert_eq!(opened.plain, own);
}

#[test]
fn no_more_is_expanded_than_a_message_may_have() {
    // The writer of the envelope has the key, and lies about the size.
    let text = vec![b' '; 17 * 1024 * 1024];
    let envelope = seal(
        &ring(),
        Writing::Version2Compressed,
        Bytes::from(text),
        &topic("dice"),
    );
    let error = read(&ring(), &envelope.unwrap()).unwrap_err();
    assert!(matches!(error, OpenError::TooLarge { .. }), "{error}");
}

#[test]
fn a_megabyte_goes_through_both_versions() {
    // No two bytes in a row are equal, so that little of it is compressed.
    let text: Vec<u8> = (0..1_048_576_u32).map(|at| (at * 31 % 251) as u8).collect();
    for writing in ENVELOPES {
        let plain = Bytes::from(text.clone());
        let envelope = seal(&ring(), writing, plain.clone(), &topic("dice")).unwrap();
        let len = sealed_len("new".len(), writing, &plain, &topic("dice"));
        assert_eq!(envelope.len(), len);
        assert_eq!(read(&ring(), &envelope).unwrap().plain, plain);
        let mut changed = envelope.to_vec();
        changed[700_000 % envelope.len()] = b'!';
        assert!(read(&ring(), &changed).is_err() || writing == Writing::Version1);
    }
}

#[test]
fn the_lengths_of_the_readme_are_true() {
    let len = |writing, size: usize| {
        let plain = Bytes::from(vec![b'x'; size]);
        seal(&ring(), writing, plain, &topic("t")).unwrap().len()
    };
    let readme = include_str!("../README.md");
    assert!(readme.contains("| 730,712 | 749,910 less the length of its names |"));
    let names = "new".len() + "t".len();
    for (writing, largest) in [
        (Writing::Version1, 730_712),
        (Writing::Version2, 749_910 - names),
    ] {
        assert!(len(writing, largest) <= 1_000_000, "{writing:?}");
        // Little more does not.
        assert!(len(writing, largest + 20) > 1_000_000, "{writing:?}");
    }
}

proptest! {
    #[test]
    fn any_text_comes_back(text in proptest::collection::vec(any::<u8>(), 0..600)) {
        for writing in ENVELOPES {
            let plain = Bytes::from(text.clone());
            let envelope = seal(&ring(), writing, plain.clone(), &topic("dice")).unwrap();
            prop_assert_eq!(read(&ring(), &envelope).unwrap().plain, plain);
        }
    }

    #[test]
    fn the_length_of_an_envelope_is_known_before(
        text in "[a-z]{0,300}( {0,40}x?){0,10}|.{0,200}",
        name in "[a-z]{1,64}",
        found in "[a-z]{1,60}",
    ) {
        let (ring, found) = (KeyRing::new(id(&name), key(1)), topic(&found));
        let mut lens = Vec::new();
        for writing in ENVELOPES.into_iter().chain([Writing::Plain]) {
            let len = sealed_len(name.len(), writing, text.as_bytes(), &found);
            let plain = Bytes::from(text.clone());
            prop_assert_eq!(seal(&ring, writing, plain, &found).unwrap().len(), len);
            lens.push(len);
        }
        // An envelope is not compressed where that makes it longer.
        prop_assert!(lens[2] <= lens[1]);
    }

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&ring(), &bytes).is_err());
    }

    #[test]
    fn any_fields_are_refused(
        version in "[0-9]{1,3}|\"2\"|null",
        key in "new|old|other|[ -~]{0,80}",
        topic in "dice|casino|[ -~]{0,20}",
        data in "[A-Za-z0-9+/=]{0,120}",
        nonce in "[A-Za-z0-9+/=]{32}",
    ) {
        let second = serde_json::json!({ "kser_sealed": 2, "key": key, "topic": topic, "data": data });
        let second = second.to_string().replace(":2,", &format!(":{version},"));
        prop_assert!(read(&ring(), second.as_bytes()).is_err());
        let first = serde_json::json!({ "data": data, "nonce": nonce }).to_string();
        prop_assert!(read(&ring(), first.as_bytes()).is_err());
    }
}
