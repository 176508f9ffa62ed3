//! The example of an order on SQLite: killed at many moments, and finished.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Cargo builds the examples before the tests of a package, and puts them beside.
fn checkout(file: &Path) -> Command {
    let this = std::env::current_exe().unwrap();
    let program = this.ancestors().nth(2).unwrap().join("examples/checkout");
    let mut command = Command::new(program);
    command.env("KSER_URL", "memory://").env("NO_COLOR", "1");
    command.env("KSER_STORE", format!("sqlite://{}", file.display()));
    command.stdout(Stdio::piped());
    command
}

/// The lines of the log at which a life ends, in the order of the run. An attempt that is killed three times fails its step: no step
/// is under way at more than two of them.
const ENDS: [&str; 7] = [
    "Consumer.Starting",
    "sent in shop",
    "Checkout.Built",
    "Charge.Success",
    "'RUNNING' -> 'FAILED'",
    "'FAILED' -> 'RUNNING'",
    "'RUNNING' -> 'SUCCESS'",
];

/// Kills the program when it has printed one of these lines. Says whether it was alive then.
fn kill_at(ends: &[&str], file: &Path) -> bool {
    let mut child = checkout(file).spawn().unwrap();
    let printed = BufReader::new(child.stdout.take().unwrap());
    let is_end = |line: String| ends.iter().any(|end| line.contains(end));
    let alive = printed.lines().any(|line| is_end(line.unwrap()));
    child.kill().unwrap();
    child.wait().unwrap();
    alive
}

#[test]
fn an_order_that_is_killed_again_and_again_is_finished() {
    let file =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("order-{}.db", std::process::id()));
    // Each life comes further than the one before.
    let lives = (0..ENDS.len())
        .take_while(|first| kill_at(&ENDS[*first..], &file))
        .count();
    assert!(lives >= 3, "killed {lives} times");

    let output = checkout(&file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("worth 4200 cents, sent to Elm Street 1"),
        "{text}"
    );
    assert_eq!(text.lines().last(), Some("SUCCESS"), "{text}");
    for step in 1..=3 {
        let done = text
            .lines()
            .filter(|line| line.starts_with(&format!("step {step} ")) && line.contains("SUCCESS"));
        assert_eq!(done.count(), 1, "step {step} is accepted once: {text}");
    }
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", file.display()));
    }
}
