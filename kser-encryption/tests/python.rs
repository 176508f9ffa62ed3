//! Random messages there and back through the real Python package kser-crypto.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use bytes::Bytes;
use kser_core::{Message, Topic};
use kser_encryption::{Key, KeyId, KeyRing, Reading, Writing, open, seal};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};

const MESSAGES: u64 = 200;

/// A random text: letters, escapes, and characters of all lengths.
fn text(rng: &mut StdRng) -> String {
    let length = rng.random_range(0..80);
    let one = |rng: &mut StdRng| match rng.random_range(0..4) {
        0 => rng.random_range('\u{0}'..='\u{7f}'),
        1 => rng.random_range('\u{80}'..='\u{d7ff}'),
        2 => rng.random_range('\u{10000}'..='\u{10ffff}'),
        _ => rng.random_range('a'..='z'),
    };
    (0..length).map(|_| one(rng)).collect()
}

fn value(rng: &mut StdRng, depth: u32) -> Value {
    match rng.random_range(0..if depth == 0 { 4 } else { 6 }) {
        0 => Value::Null,
        1 => rng.random::<bool>().into(),
        2 => rng.random::<i64>().into(),
        3 => text(rng).into(),
        4 => (0..rng.random_range(0..4))
            .map(|_| value(rng, depth - 1))
            .collect(),
        _ => Value::Object(object(rng, depth - 1)),
    }
}

fn object(rng: &mut StdRng, depth: u32) -> Map<String, Value> {
    let length = rng.random_range(0..5);
    (0..length)
        .map(|_| (text(rng), value(rng, depth)))
        .collect()
}

fn message(rng: &mut StdRng) -> Value {
    json!({
        "uuid": format!("{:032x}", rng.random::<u128>()),
        "entrypoint": "dice.DiceRoll",
        "params": object(rng, 3),
        "result": {
            "uuid": format!("{:032x}", rng.random::<u128>()),
            "retcode": rng.random_range(0..600),
            "stdout": text(rng),
            "stderr": text(rng),
            "retval": object(rng, 2),
        },
        "metadata": object(rng, 2),
    })
}

#[test]
fn random_messages_go_to_the_python_package_and_come_back() {
    if !test_services::HAS_PYTHON {
        return;
    }
    let seed = rand::random::<u64>();
    println!("seed: {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut python = Command::new(test_services::python());
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python.py"));
    python
        .env("PYTHONUTF8", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    python.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    let topic = Topic::new("dice").unwrap();
    let (mut asked, mut lines) = (Vec::new(), String::new());
    for _ in 0..MESSAGES {
        let mut bytes = [0; 32];
        rng.fill(&mut bytes);
        let ring = KeyRing::new(KeyId::new("secretbox").unwrap(), Key::from_bytes(bytes));
        let sent = message(&mut rng);
        let plain = Bytes::from(sent.to_string());
        let envelope = seal(&ring, Writing::Version1, plain, &topic).unwrap();
        let envelope = std::str::from_utf8(&envelope).unwrap();
        let key = data_encoding::BASE64.encode(&bytes);
        lines += &json!({"key": key, "envelope": envelope}).to_string();
        lines.push('\n');
        asked.push((ring, sent));
    }
    let mut input = python.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    let answers: Vec<&str> = std::str::from_utf8(&output.stdout)
        .unwrap()
        .lines()
        .collect();
    assert_eq!(answers.len(), asked.len());
    for (answer, (ring, sent)) in answers.into_iter().zip(asked) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(answer["plain"], sent, "seed {seed}");
        let envelope = Bytes::from(answer["envelope"].as_str().unwrap().to_owned());
        let opened = open(&ring, Reading::Require, &envelope, &topic).unwrap();
        let back: Value = serde_json::from_slice(&opened.plain).unwrap();
        assert_eq!(back, sent, "seed {seed}");
        Message::decode(&opened.plain).unwrap();
        // The form is the same, too.
        let again = seal(&ring, Writing::Version1, opened.plain, &topic).unwrap();
        assert_eq!(shape(&again), shape(&envelope), "seed {seed}");
    }
}

/// The text of an envelope, with one letter in place of each character of base64.
fn shape(envelope: &[u8]) -> String {
    let text = std::str::from_utf8(envelope).unwrap();
    let text = text.replace("\\n", "\n");
    let one = |char: char| match char {
        '"' | '{' | '}' | ':' | ',' | ' ' | '\n' | '=' => char,
        _ => 'x',
    };
    text.chars().map(one).collect()
}
