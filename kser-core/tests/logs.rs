//! The log lines, to the letter.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use kser_core::log::LogOptions;
use kser_core::{Context, Entrypoint, Message, Registry, Step, TaskError};
use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Serialize, Deserialize)]
struct DiceRoll {}

impl Entrypoint for DiceRoll {
    const PATH: &'static str = "dice.DiceRoll";
}

#[derive(Serialize, Deserialize)]
struct DiceLaunch {
    fails: bool,
}

impl Entrypoint for DiceLaunch {
    const PATH: &'static str = "dice.DiceLaunch";
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Lines {
    /// Listens on this thread.
    fn listen(&self, level: Level) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_writer(self.clone())
            .with_max_level(level)
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn read(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }
}

async fn roll(ctx: Context, _: DiceRoll) -> &'static str {
    ctx.log(Level::INFO, "rolling");
    "You made a 1"
}

async fn launch(game: DiceLaunch) -> Result<Vec<Step>, TaskError> {
    match game.fails {
        true => Err(TaskError::new("NoDice", "no dice\nno game").with_code(404)),
        false => Ok(vec![Step::new(DiceRoll {}).with_id("872c")]),
    }
}

fn registry() -> Registry {
    Registry::new()
        .task(roll)
        .unwrap()
        .operation(launch)
        .unwrap()
}

fn message(fails: bool) -> Message {
    let text =
        format!(r#"{{"uuid":"5e1f","entrypoint":"dice.DiceLaunch","params":{{"fails":{fails}}}}}"#);
    Message::decode(text.as_bytes()).unwrap()
}

/// The lines without their fields.
fn begin_with(lines: &[String], expected: &[&str]) {
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\nis not\n{expected}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_lines_of_the_documentation() {
    let lines = Lines::default();
    let listening = lines.listen(Level::INFO);
    registry().execute(&message(false)).await;
    drop(listening);
    begin_with(
        &lines.read(),
        &[
            "INFO Operation registry: loaded dice.DiceRoll",
            "INFO Operation registry: loaded dice.DiceLaunch",
            "INFO DiceLaunch.SetStatus: dice.DiceLaunch[5e1f] status update 'PENDING' -> 'RUNNING'",
            "INFO DiceRoll.RUNNING: dice.DiceRoll[872c]: rolling",
            "INFO DiceRoll.Success: dice.DiceRoll[872c]: You made a 1",
            "INFO DiceLaunch.SetStatus: dice.DiceLaunch[5e1f] status update 'RUNNING' -> 'SUCCESS'",
            "INFO DiceLaunch.Success: dice.DiceLaunch[5e1f]: You made a 1",
        ],
    );
}

#[tokio::test(flavor = "current_thread")]
async fn text_cannot_forge_a_line() {
    let lines = Lines::default();
    let listening = lines.listen(Level::INFO);
    let mut forged = message(true);
    forged.uuid = "u\n INFO forged\u{1b}[2J".into();
    registry().execute(&forged).await;
    drop(listening);
    let lines = lines.read();
    assert!(
        lines
            .iter()
            .all(|line| !line.contains('\u{1b}') && !line.starts_with("INFO forged"))
    );
    assert!(
        lines
            .last()
            .unwrap()
            .contains("dice.DiceLaunch[u\\n INFO forged\\u{1b}[2J]")
    );
}

#[tokio::test(flavor = "current_thread")]
async fn params_are_shown_on_request_and_masked() {
    for (options, expected) in [
        (
            LogOptions::default(),
            "DiceRoll.PreRun: dice.DiceRoll[872c] ",
        ),
        (
            LogOptions::default()
                .with_params()
                .with_masked(["password"]),
            r#"DiceRoll.PreRun: dice.DiceRoll[872c]: {"who":"zoe","password":"***"}"#,
        ),
    ] {
        let lines = Lines::default();
        let listening = lines.listen(Level::DEBUG);
        let text =
            r#"{"uuid":"872c","entrypoint":"dice.DiceRoll","params":{"who":"zoe","password":"x"}}"#;
        let message = Message::decode(text.as_bytes()).unwrap();
        let ctx = Context::new(&message).with_log(Arc::new(options));
        let registry = registry();
        let Some(kser_core::Handler::Task(task)) = registry.get(&message.entrypoint) else {
            panic!("it is registered");
        };
        task.run(&ctx, &message.params).await.unwrap();
        drop(listening);
        let lines = lines.read();
        let line = lines.iter().find(|line| line.contains("PreRun")).unwrap();
        assert!(line.contains(expected), "{line}");
        assert_eq!(line.contains("zoe"), expected.contains("zoe"));
        assert!(!lines.iter().any(|line| line.contains("\"x\"")));
    }
}
