//! The log lines, to the letter.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use kser_core::log::LogOptions;
use kser_core::{
    Context, Entrypoint, IntoTask, Message, Outcome, Registry, Step, Task, TaskEntry, TaskError,
};
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
        .operation(launch)
        .build()
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

/// The lines that one task writes.
async fn written(level: Level, options: LogOptions, task: TaskEntry) -> Vec<String> {
    let lines = Lines::default();
    let listening = lines.listen(level);
    let text = r#"{"uuid":"872c","entrypoint":"dice.DiceRoll","params":{"who":"zoe"}}"#;
    let message = Message::decode(text.as_bytes()).unwrap();
    let ctx = Context::new(&message).with_log(Arc::new(options));
    let _ = task.run(&ctx, &message.params).await;
    drop(listening);
    lines.read()
}

#[tokio::test(flavor = "current_thread")]
async fn each_line_of_a_task_has_its_facts_as_fields() {
    let lines = written(Level::DEBUG, LogOptions::default(), roll.into_task()).await;
    assert_eq!(
        lines,
        [
            "DEBUG DiceRoll.PreRun: dice.DiceRoll[872c] uuid=872c entrypoint=dice.DiceRoll",
            "DEBUG DiceRoll.Run: dice.DiceRoll[872c] uuid=872c entrypoint=dice.DiceRoll",
            "INFO DiceRoll.RUNNING: dice.DiceRoll[872c]: rolling uuid=872c entrypoint=dice.DiceRoll",
            "DEBUG DiceRoll.PostRun: dice.DiceRoll[872c] uuid=872c entrypoint=dice.DiceRoll",
            "INFO DiceRoll.Success: dice.DiceRoll[872c]: You made a 1 uuid=872c entrypoint=dice.DiceRoll retcode=0",
        ]
    );
    let silent = |_: DiceRoll| async {};
    let lines = written(Level::INFO, LogOptions::default(), silent.into_task()).await;
    assert!(lines[0].starts_with("INFO DiceRoll.Success: dice.DiceRoll[872c]:  uuid="));
}

#[tokio::test(flavor = "current_thread")]
async fn a_failure_is_one_error_line_and_no_success() {
    struct Late(&'static str);
    impl Task for Late {
        type Params = DiceRoll;
        type Output = Outcome;
        async fn run(&self, _: &Context, _: DiceRoll) -> Result<Outcome, TaskError> {
            match self.0 {
                "outcome" => Ok(Outcome::text("half")
                    .with_error_message("no dice")
                    .with_code(404)),
                _ => Ok(Outcome::text("fine")),
            }
        }
        async fn on_success(&self, _: &Context, _: &Outcome) -> Result<(), TaskError> {
            Err(TaskError::not_found("no dice"))
        }
    }
    for late in ["outcome", "on_success"] {
        let task = Late(late).into_task();
        let lines = written(Level::INFO, LogOptions::default(), task).await;
        let expected = "ERROR DiceRoll.Failed: dice.DiceRoll[872c]: no dice uuid=872c entrypoint=dice.DiceRoll retcode=404";
        assert_eq!(lines, [expected]);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn whatever_a_handler_says_stays_one_line_and_is_cut() {
    const FORGED: &str = "x\r\n2026 INFO forged\u{1b}[31m\u{85}\u{2028}\u{202e}\u{7f}\u{0}\u{200f}";
    let says = |ctx: Context, _: DiceRoll| async move {
        ctx.log(Level::WARN, FORGED);
        FORGED
    };
    let fails = |_: DiceRoll| async { Err::<(), _>(TaskError::not_found(FORGED)) };
    let panics = |_: DiceRoll| async {
        if true {
            panic!("{FORGED}");
        }
    };
    for (task, count) in [
        (says.into_task(), 2),
        (fails.into_task(), 1),
        (panics.into_task(), 1),
    ] {
        let lines = written(Level::INFO, LogOptions::default(), task).await;
        assert_eq!(lines.len(), count, "{lines:#?}");
        for line in lines {
            let harmless = |c: char| !c.is_control() && !"\u{2028}\u{202e}\u{200f}".contains(c);
            assert!(line.chars().all(harmless), "{line:?}");
            assert!(
                line.contains(r"x\r\n2026 INFO forged\u{1b}[31m\u{85}"),
                "{line}"
            );
        }
    }
    let options = LogOptions::default().with_longest(5);
    let long = |ctx: Context, _: DiceRoll| async move {
        ctx.log(Level::INFO, "1234567");
        "12345"
    };
    let lines = written(Level::INFO, options, long.into_task()).await;
    assert!(lines[0].contains("]: 12345… (7 bytes) uuid="), "{lines:?}");
    assert!(lines[1].contains("]: 12345 uuid="), "{lines:?}");
}

/// Text that is only made when someone reads it.
#[tokio::test(flavor = "current_thread")]
async fn nothing_is_written_for_nobody() {
    struct Costly(Arc<Mutex<u32>>);
    impl std::fmt::Display for Costly {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            *self.0.lock().unwrap() += 1;
            f.write_str("costly")
        }
    }
    let made = Arc::new(Mutex::new(0));
    let logs = {
        let made = Arc::clone(&made);
        move |ctx: Context, _: DiceRoll| {
            ctx.log(Level::DEBUG, Costly(Arc::clone(&made)));
            ctx.log(Level::TRACE, Costly(Arc::clone(&made)));
            async {}
        }
    };
    written(Level::INFO, LogOptions::default(), logs.clone().into_task()).await;
    assert_eq!(*made.lock().unwrap(), 0);
    written(Level::TRACE, LogOptions::default(), logs.into_task()).await;
    assert_eq!(*made.lock().unwrap(), 2);
}

#[test]
fn masked_params_do_not_appear_whatever_they_hold() {
    let shown = |params: &str| {
        let params = serde_json::from_str(params).unwrap();
        let options = LogOptions::default()
            .with_params()
            .with_masked(["pin", "p\u{e9}\n"]);
        options.params(&params).unwrap()
    };
    let deep = format!("{}7777{}", "[".repeat(900), "]".repeat(900));
    for value in [
        "7777",
        "-7777e7",
        "\"7777\"",
        "[7777]",
        "{\"a\":{\"b\":[7777,\"}\"]}}",
        &deep,
    ] {
        for params in [
            format!(r#"{{"pin":{value}}}"#),
            format!(r#"{{ "a" : [ 1 , "pin" , {{ "pin" : {value} , "b" : "\"pin\":" }} ] }}"#),
            format!(r#"{{"\u0070in":{value},"pin":{value}}}"#),
            format!(r#"{{"p\u00e9\n":{value}}}"#),
        ] {
            let shown = shown(&params);
            assert!(!shown.contains("7777"), "{params}\n{shown}");
            assert!(shown.contains("\"***\"") && shown.ends_with('}'), "{shown}");
        }
    }
    let other = r#"{"pins":7,"Pin":7,"a":"pin","b":["pin",7]}"#;
    assert_eq!(shown(other), other);
}
