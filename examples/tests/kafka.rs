//! The examples on real Kafka, as processes.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Lets an example talk to the Kafka of this process, under a prefix of its own.
fn example(name: &str, prefix: &str) -> Command {
    example_with(name, prefix, "")
}

/// Lets an example do so with another option in its URL.
fn example_with(name: &str, prefix: &str, option: &str) -> Command {
    let servers = test_services::kafka();
    // A Kafka that was started by hand may remember the last time.
    let url = format!(
        "kafka://{servers}?create=3&prefix={prefix}-{}.&{option}",
        std::process::id()
    );
    let mut command = Command::new(program(name));
    command.env("KSER_URL", url).env("NO_COLOR", "1");
    command
}

/// Cargo builds the examples before the tests of a package, and puts them beside.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let program = this.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(
        program.exists(),
        "there is no {}: `cargo test --workspace` builds it",
        program.display()
    );
    program
}

/// Runs an example to its good end, and returns what it printed.
fn printed(mut command: Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

/// Ends with the test, however that ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn rolls(text: &str) -> usize {
    let rolled = |line: &&str| line.contains("DiceRoll.Success: ") && line.contains("You made a ");
    text.lines().filter(rolled).count()
}

test_services::kafka_tests!(
    #[test]
    fn dice_are_rolled() {
        let text = printed(example("dice", "dice"));
        assert_eq!(rolls(&text), 3, "{text}");
        assert_eq!(text.lines().last(), Some("SUCCESS"), "{text}");
    }

    /// The log says which delivery is on.
    #[test]
    fn dice_are_rolled_exactly_once_out_of_the_box_and_at_least_once_on_request() {
        for (prefix, option, said) in [
            ("once", "", "delivery is exactly once"),
            (
                "least",
                "delivery=at-least-once",
                "delivery is at least once",
            ),
        ] {
            let text = printed(example_with("dice", prefix, option));
            let group = format!("group {prefix}-{}.kser.dice: {said}", std::process::id());
            assert!(text.contains(&group), "{text}");
            assert_eq!(rolls(&text), 3, "{text}");
            assert_eq!(text.lines().last(), Some("SUCCESS"), "{text}");
        }
    }

    #[test]
    fn dice_are_rolled_in_another_process() {
        let mut consumer = example("dice_consumer", "two");
        let consumer = consumer.stdout(Stdio::piped()).spawn().unwrap();
        let mut consumer = Killed(consumer);
        let text = printed(example("dice_producer", "two"));
        assert_eq!(text.lines().last(), Some("SUCCESS"), "{text}");

        let id = consumer.0.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(told.success());
        let output = consumer.0.stdout.take().unwrap();
        let text = std::io::read_to_string(output).unwrap();
        assert_eq!(rolls(&text), 3, "{text}");
        assert!(consumer.0.wait().unwrap().success(), "{text}");
    }

    #[test]
    fn messages_are_answered() {
        let mut messages = example("messages", "messages");
        messages.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("messages.txt"));
        let text = printed(messages);
        let last = text.lines().last();
        assert_eq!(last, Some("10 outcomes, 11 dead letters"), "{text}");
    }

    #[test]
    fn an_order_is_checked_out() {
        let text = printed(example("checkout", "checkout"));
        assert!(
            text.contains("worth 4200 cents, sent to Elm Street 1"),
            "{text}"
        );
        assert_eq!(text.lines().last(), Some("SUCCESS"), "{text}");
    }
);
