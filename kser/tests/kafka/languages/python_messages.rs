//! Lone messages, both ways.

use kser::message::Object;
use kser::{Context, Entrypoint, Error, Outcome, Registry, Status, Step, TaskError};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;

use super::process::Process;
use super::{Place, with_python};
use crate::common::trials;

/// Any params, as they are written.
#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceRoll")]
#[serde(transparent)]
struct Roll(Object);

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("dice.DiceLaunch")]
struct Launch {
    rolls: usize,
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("python.Echo")]
struct Echo {
    text: String,
    big: u128,
}

/// What an attempt was given: its id, params, and what the step before left.
type Given = (String, String, Outcome);

pub(super) fn trials() -> Vec<Trial> {
    trials![
        with_python:
        what_python_sends_runs_here,
        an_operation_that_python_launches_runs_here,
        what_is_sent_from_here_runs_in_python,
    ]
}

fn rolling(told: mpsc::UnboundedSender<Given>) -> Result<Registry, Error> {
    let roll = move |ctx: Context, roll: Roll| {
        let (uuid, params) = (ctx.uuid().to_string(), roll.0.as_str().to_owned());
        told.send((uuid, params, ctx.previous().clone())).unwrap();
        async move { "You made a 4" }
    };
    let launch = async |launch: Launch| {
        let roll = || Step::named("dice.DiceRoll", &json!({}));
        Ok::<_, TaskError>((0..launch.rolls).map(|_| roll()).collect())
    };
    Registry::new().task(roll).operation(launch).build()
}

/// Sends with the package's producer, whose delivery is not reported: what arrives is what counts.
async fn sent_by_python(topic: &str, messages: &[&str]) {
    let mut arguments = vec![test_services::kafka(), topic];
    arguments.extend(messages);
    let mut python = Process::python("tests/kafka/languages/producer.py", &arguments);
    for _ in messages {
        assert!(python.line(" sent").await.starts_with("0 "));
    }
    python.end().await;
}

async fn what_python_sends_runs_here() -> Result<(), Error> {
    let place = Place::new("from-python");
    let kser = place.connect(false).await;
    let (told, mut given) = mpsc::unbounded_channel();
    let consumer = kser.consumer(rolling(told)?).spawn();
    let message = r#"{"uuid": "from-python", "entrypoint": "dice.DiceRoll",
        "params": {"who": "Zoë 🎲", "big": 123456789012345678901234567890, "small": 1e-7},
        "result": {"uuid": "before", "retcode": 0, "stdout": "caf\u00e9", "retval": {"score": 4}}}"#;
    sent_by_python(&place.make_topic("dice"), &[message]).await;

    let (uuid, params, previous) = given.recv().await.unwrap();
    assert_eq!(uuid, "from-python");
    let written = r#"{"who": "Zo\u00eb \ud83c\udfb2", "big": 123456789012345678901234567890, "small": 1e-07}"#;
    assert_eq!(params, written);
    assert_eq!(previous.message(), "café");
    assert_eq!(previous.data().as_str(), r#"{"score": 4}"#);
    consumer.stop().await
}

async fn an_operation_that_python_launches_runs_here() -> Result<(), Error> {
    let place = Place::new("launch-python");
    let kser = place.connect(true).await;
    let (told, mut given) = mpsc::unbounded_channel();
    let consumer = kser.consumer(rolling(told)?).spawn();
    let message = r#"{"uuid": "game-1", "entrypoint": "dice.DiceLaunch", "params": {"rolls": 3}}"#;
    sent_by_python(&place.make_topic("dice"), &[message, message]).await;

    for _ in 0..3 {
        given.recv().await.unwrap();
    }
    let state = kser.runs().wait(&"game-1".into()).await?;
    assert_eq!(state.status, Status::Success);
    assert_eq!(state.outcome.message(), "You made a 4");
    consumer.stop().await?;
    // It was sent twice, and ran once.
    assert!(given.try_recv().is_err());
    Ok(())
}

async fn what_is_sent_from_here_runs_in_python() -> Result<(), Error> {
    let place = Place::new("to-python");
    let kser = place.connect(false).await;
    place.make_topic("python");
    let echo = Echo {
        text: "Zoë 🎲 \u{0}".to_owned(),
        big: 123_456_789_012_345_678_901_234_567_890,
    };
    let uuid = kser.producer().send(echo).await?;

    let mut python = place.consumer("python", "plain");
    let given = r#"{"params": {"text": "Zo\u00eb \ud83c\udfb2 \u0000", "big": 123456789012345678901234567890}, "retval": {}}"#;
    assert_eq!(python.line("params").await, given);
    let line = format!("Controller.Success: python.Echo[{uuid}]: café 🎲");
    assert_eq!(python.line("Controller.").await, line);
    Ok(())
}
