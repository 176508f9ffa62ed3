use std::hint::black_box;

use super::*;

/// Nanoseconds for one record, received and done, where `done_at` says which record ends at each turn.
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn per_record(n: i64, in_flight: i64, done_at: impl Fn(i64) -> i64) -> f64 {
    let mut progress = start();
    let started = std::time::Instant::now();
    for turn in 0..n {
        black_box(progress.received(black_box(turn)));
        progress.done(black_box(done_at(turn)));
        if turn % 5_000 == 0 {
            confirm(&mut progress);
        }
    }
    let took = started.elapsed().as_secs_f64() * 1e9 / n as f64;
    assert!(progress.n_held() as i64 <= 2 * in_flight);
    took
}

#[test]
#[ignore = "measures, and means something only when it is built with optimisation and alone"]
fn received_and_done_are_cheap() {
    let n = 3_000_000;
    println!("in order: {:.0} ns", per_record(n, 1, |turn| turn));
    println!(
        "in order, 1000 in flight: {:.0} ns",
        per_record(n, 1_000, |turn| turn - 1_000)
    );
    for in_flight in [16, 1_000, 8_192] {
        // Each block of records ends in an order that leaps through it.
        let leaping = |turn: i64| {
            let block = turn / in_flight - 1;
            block * in_flight + (turn % in_flight) * 619 % in_flight
        };
        println!(
            "leaping, {in_flight} in flight: {:.0} ns",
            per_record(n, in_flight, leaping)
        );
    }
    let behind = per_record(
        n,
        1_000,
        |turn| if turn == 1_000 { 1 } else { turn - 1_000 },
    );
    println!("behind a record that never ends: {behind:.0} ns");
}
