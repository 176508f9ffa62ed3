//! Reading and writing a message of about 300 bytes, beside `serde_json::Value` there and back.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kser_core::Message;

const TEXT: &str = r#"{"uuid": "872c3be0-51ac-457f-a4d9-12c2f7667b80", "entrypoint": "dice.DiceRoll", "params": {"sides": 6, "who": "Zo\u00eb", "nested": {"a": [1, 2.50, null, true]}}, "result": {"uuid": "872c3be0-51ac-457f-a4d9-12c2f7667b80", "retcode": 0, "stdout": "You made a 4", "stderr": "", "retval": {"score": 4}}, "metadata": {"trace": "abc"}}"#;

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("there and back");
    group.throughput(Throughput::Bytes(TEXT.len() as u64));
    group.bench_function("kser Message", |bencher| {
        bencher.iter(|| {
            let message = Message::decode(black_box(TEXT.as_bytes())).expect("it is a message");
            message.encode()
        });
    });
    group.bench_function("serde_json Value", |bencher| {
        bencher.iter(|| {
            let value: serde_json::Value =
                serde_json::from_slice(black_box(TEXT.as_bytes())).expect("it is JSON");
            serde_json::to_vec(&value)
        });
    });
    group.finish();
}

criterion_group!(benches, messages);
criterion_main!(benches);
