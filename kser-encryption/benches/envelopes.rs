//! Measures the cost of a message in an envelope, with the bare cipher beside it.

#![expect(clippy::unwrap_used, reason = "a bench may fail")]

use std::hint::black_box;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kser_core::{Message, Topic};
use kser_encryption::{Key, KeyId, KeyRing, Reading, Writing, open, seal};

/// All that kser-crypto does in `encode` and `decode`, which begin and end with a message: `python_package.py` measures those.
fn bench_messages(c: &mut Criterion) {
    let ring = KeyRing::new(KeyId::new("2026-02").unwrap(), Key::random());
    let topic = Topic::new("dice").unwrap();
    let text = |filling: &str| {
        let uuid = "872c3be0-51ac-457f-a4d9-12c2f7667b80";
        let entrypoint = "dice.DiceRoll";
        let text = format!(
            r#"{{"uuid": "{uuid}", "entrypoint": "{entrypoint}", "params": {{"text": "{filling}"}}}}"#
        );
        Message::decode(text.as_bytes()).unwrap()
    };
    let filling = 300 - text("").encode().unwrap().len();
    let message = text(&"x".repeat(filling));
    assert_eq!(message.encode().unwrap().len(), 300);
    let mut group = c.benchmark_group("a message of 300 bytes");
    for (name, writing) in [
        ("version 1", Writing::Version1),
        ("version 2", Writing::Version2),
    ] {
        let encode = || seal(&ring, writing, message.encode().unwrap(), &topic).unwrap();
        group.bench_function(format!("{name}: encode"), |b| b.iter(encode));
        let envelope = encode();
        group.bench_function(format!("{name}: decode"), |b| {
            b.iter(|| {
                let opened = open(&ring, Reading::Require, black_box(&envelope), &topic).unwrap();
                Message::decode(&opened.plain).unwrap()
            });
        });
    }
    group.finish();
}

fn bench(c: &mut Criterion) {
    let ring = KeyRing::new(KeyId::new("2026-02").unwrap(), Key::random());
    let topic = Topic::new("dice").unwrap();
    for size in [300, 10_000] {
        let plain = Bytes::from(vec![b'x'; size]);
        let mut group = c.benchmark_group(format!("{size} bytes"));
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function("bare cipher: encrypt", |b| {
            let (nonce, mut text) = (Nonce::default(), plain.to_vec());
            b.iter(|| {
                // Each message has a key of its own, as in version 2.
                let cipher = Aes256Gcm::new(&black_box([7; 32]).into());
                let buffer = text.as_mut_slice().into();
                black_box(cipher.encrypt_inout_detached(&nonce, b"", buffer).unwrap());
            });
        });
        let versions = [
            ("version 2", Writing::Version2),
            ("version 2, compressed", Writing::Version2Compressed),
            ("version 1", Writing::Version1),
        ];
        for (name, writing) in versions {
            group.bench_function(format!("{name}: seal"), |b| {
                b.iter(|| seal(&ring, writing, black_box(plain.clone()), &topic).unwrap());
            });
            let envelope = seal(&ring, writing, plain.clone(), &topic).unwrap();
            group.bench_function(format!("{name}: open"), |b| {
                b.iter(|| open(&ring, Reading::Require, black_box(&envelope), &topic).unwrap());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench, bench_messages);
criterion_main!(benches);
