#!/usr/bin/env bash
# The crate poly1305 looks at run time whether the processor has AVX2, and takes that code if so. Built for the usual target
# x86_64-unknown-linux-gnu, it then takes five times as long for a message of 300 bytes as its own scalar code, and seventeen
# times for one of 64 bytes. Built with `-C target-feature=+avx2` the same code is the fastest of the three.
#
# Versions: poly1305 0.9.1, rustc 1.95.0 on a processor with AVX2. Needs cargo; takes about half a minute.
#
# Steps: tags of messages of 64, 300 and 4096 bytes, each with a new key, in three builds: as is, with `--cfg
# poly1305_backend="soft"` (scalar), and with AVX2 at compile time. The best of 400 rounds counts, in nanoseconds a tag.
#
# A reader would expect code that is chosen because the processor has AVX2 to be at least as fast as the code for processors
# without, and its speed not to depend on whether the feature was known earlier.
# Seen:          64 bytes  300 bytes  4096 bytes
#   as is            1519       1617        2413
#   scalar             86        323        3945
#   +avx2             151        240        1056
# The intrinsics are called as functions of their own there (perf shows core_arch::x86::avx2::_mm256_*): helpers that carry no
# target feature themselves are not inlined into those that do. Ciphers for short messages that stand on the crate, such as
# XChaCha20-Poly1305 and XSalsa20-Poly1305, pay for it on each message.
# The script fails when the code as is takes less than twice the time of the scalar one for 300 bytes.
set -euo pipefail
grep -q avx2 /proc/cpuinfo || { echo "this processor has no AVX2: nothing to see"; exit 0; }
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"; mkdir src
cat > Cargo.toml <<'X'
[package]
name = "finding"
version = "0.1.0"
edition = "2024"
[workspace]
[dependencies]
poly1305 = "=0.9.1"
X
cat > src/main.rs <<'X'
use std::hint::black_box;
use std::time::Instant;

use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};

fn best(bytes: usize) -> f64 {
    let (key, text) = (black_box([7u8; 32]), black_box(vec![3u8; bytes]));
    let round = |_| {
        let began = Instant::now();
        for _ in 0..200 {
            let mut tag = Poly1305::new(&key.into());
            tag.update_padded(&text);
            black_box(tag.finalize());
        }
        began.elapsed().as_nanos() as f64 / 200.0
    };
    (0..400).map(round).fold(f64::MAX, f64::min)
}

fn main() {
    println!("{:.0} {:.0} {:.0}", best(64), best(300), best(4096));
}
X
unset RUSTFLAGS CARGO_TARGET_DIR
run() { RUSTFLAGS=$2 cargo run -q --release --target-dir "$1"; }
as_is=$(run as-is ""); scalar=$(run scalar '--cfg poly1305_backend="soft"'); avx2=$(run avx2 "-C target-feature=+avx2")
rustc --version
printf 'as is  %s\nscalar %s\n+avx2  %s\n' "$as_is" "$scalar" "$avx2"
read -r _ found _ <<<"$as_is"; read -r _ plain _ <<<"$scalar"
[ "$found" -ge $((2 * plain)) ]
