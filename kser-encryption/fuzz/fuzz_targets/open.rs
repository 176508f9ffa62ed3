//! Opens any bytes as envelopes of both versions.
//!
//! `cargo fuzz run open` in `kser-encryption`; without cargo-fuzz, `RUSTFLAGS="-Cpasses=sancov-module
//! -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
//! -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing" cargo run --release
//! --target x86_64-unknown-linux-gnu -- corpus/open`
//! in this folder.

#![no_main]

#[path = "../../tests/corpus/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::check(bytes));
