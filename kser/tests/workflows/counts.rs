//! Counts and texts are true: of attempts, of steps, and of an error that is too long.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{Diary, Game, Note, both, client, note, noting};
use crate::whole::Whole;
use kser::backend::Record;
use kser::client::Mode;
use kser::message::{Message, Topic};
use kser::{Context, Error, IntoTask, Registry, RetryPolicy, Status, Step, TaskError};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);

/// A task that never ends until the third consumer has it, where it fails.
fn stuck(diary: &Diary) -> Registry {
    let diary = diary.clone();
    let task = move |_: Note| {
        let diary = diary.clone();
        async move {
            diary.note("begun");
            if diary.read().len() < 3 {
                std::future::pending::<()>().await;
            }
            Err::<(), _>(TaskError::permanent("No", "no"))
        }
    };
    Registry::new().task(task).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lone_task_that_kills_its_process_was_tried_three_times() {
    let transport = Whole::default();
    let message = r#"{"uuid":"u","entrypoint":"test.Note","params":{"text":"x"}}"#;
    let record = Record::new(Topic::new("test").unwrap(), Some(message.into()));
    transport.put(record, 3);
    let kser = kser::Client::builder(transport.clone())
        .build()
        .await
        .unwrap();
    let consumer = kser.consumer(noting(&Diary::default())).spawn();
    sleep(MINUTE).await;
    consumer.stop().await.unwrap();
    let letters = transport.others();
    assert_eq!(letters.len(), 1);
    let header = |name| std::str::from_utf8(letters[0].header(name).unwrap()).unwrap();
    assert!(
        header("kser-error").contains("3 attempts ended without a report"),
        "{}",
        header("kser-error")
    );
    assert_eq!(header("kser-attempts"), "3");
}

#[tokio::test(start_paused = true)]
async fn deploys_are_counted_nowhere() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let steps = vec![Step::new(note("x"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    for _ in 0..2 {
        let consumer = kser.consumer(stuck(&diary)).spawn();
        sleep(Duration::from_secs(1)).await;
        consumer.stop().await?;
    }
    let consumer = kser.consumer(stuck(&diary)).spawn();
    assert_eq!(run.wait().await?.status, Status::Failed);
    let attempts = kser.runs().all_attempts(run.id()).await?;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].attempt, 1);
    let mut letters = kser.dead_letters("test").await?;
    let letter = letters.next().await?;
    assert_eq!(letter.attempts(), 1);
    letter.discard().await?;
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_counts_crashes_and_no_deploys() -> Result<(), Error> {
    async fn pending(_: Note) {
        std::future::pending::<()>().await;
    }
    let kser = client(Mode::Stored).await;
    let steps = vec![Step::new(note("x"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    for round in 0..5 {
        let consumer = kser
            .consumer(Registry::new().task(pending).build()?)
            .spawn();
        while consumer.handle().running().is_empty() {
            sleep(Duration::from_secs(1)).await;
        }
        match round {
            0 | 1 => consumer.stop().await?,
            _ => consumer.kill(),
        }
    }
    let consumer = kser
        .consumer(Registry::new().task(pending).build()?)
        .spawn();
    assert_eq!(run.wait().await?.status, Status::Failed);
    let mut letters = kser.dead_letters("test").await?;
    let letter = letters.next().await?;
    let error = letter.error().unwrap_or_default();
    assert!(
        error.contains("3 attempts ended without a report"),
        "{error}"
    );
    assert_eq!(letter.attempts(), 3);
    letter.discard().await?;
    consumer.stop().await
}

/// A header has room for 4,096 bytes of it.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_says_that_its_error_is_cut() -> Result<(), Error> {
    for kser in both().await {
        let failing =
            |_: Note| async { Err::<(), _>(TaskError::permanent("Long", "é".repeat(5_000))) };
        let consumer = kser
            .consumer(Registry::new().task(failing).build()?)
            .spawn();
        kser.producer().send(note("x")).await?;
        let mut letters = kser.dead_letters("test").await?;
        let letter = letters.next().await?;
        let error = letter.error().unwrap_or_default();
        assert!(error.starts_with("Long (500): éé"), "{error}");
        // With the name and the code of the error before its 10,000 bytes.
        assert!(error.ends_with("é… (cut: 10012 bytes)"), "{error}");
        assert!((4_090..=4_096).contains(&error.len()), "{}", error.len());
        letter.discard().await?;
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_too_long_is_cut_and_tried_again() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let seen = diary.clone();
        let failing = move |ctx: Context, _: Note| {
            seen.note(format!("#{}", ctx.attempt()));
            async { Err::<(), _>(TaskError::new("Long", "é".repeat(200_000)).with_code(503)) }
        };
        let failing = failing.with_retry(RetryPolicy::exponential(2, Duration::from_secs(1)));
        let consumer = kser
            .consumer(Registry::new().task(failing).build()?)
            .spawn();
        let steps = vec![Step::new(note("x"))];
        let run = kser.producer().launch_steps("test.Run", steps).await?;
        let state = run.wait().await?;
        let error = state.outcome.error().unwrap();
        assert_eq!((error.name(), error.code()), ("Long", 503));
        assert!(error.message().starts_with(&"é".repeat(30_000)));
        assert!(error.message().ends_with("… (cut: 400000 bytes)"));
        assert_eq!(state.outcome.code(), 503);
        assert_eq!(diary.read(), ["#1", "#2"]);
        consumer.stop().await?;
    }
    Ok(())
}

/// All its steps have one id, which would show as soon as they are looked at.
#[tokio::test(start_paused = true)]
async fn too_many_steps_are_refused_before_a_plan_is_made_of_them() -> Result<(), Error> {
    fn many() -> Vec<Step> {
        vec![Step::new(note("a")).with_id("same"); 100_001]
    }
    async fn build(_: Game) -> Result<Vec<Step>, TaskError> {
        Ok(many())
    }
    let expected = "number of steps of the operation is 100001, over the limit of 100000";
    for kser in both().await {
        let registry = noting(&Diary::default())
            .into_builder()
            .operation(build)
            .build()?;
        let consumer = kser.consumer(registry).spawn();
        let run = kser.producer().launch(Game { notes: Vec::new() }).await?;
        let state = run.wait().await?;
        assert_eq!(state.status, Status::Failed);
        assert_eq!(state.outcome.error_message(), expected);
        assert_eq!(state.outcome.code(), 413);
        let refused = kser.producer().launch_steps("test.Run", many()).await;
        assert_eq!(refused.unwrap_err().to_string(), expected);
        consumer.stop().await?;
    }
    Ok(())
}

/// As in the Python library: an operation gives its tasks nothing of what its own message carried.
#[tokio::test(start_paused = true)]
async fn the_result_in_a_launch_message_is_given_to_no_step() -> Result<(), Error> {
    async fn build(_: Game) -> Result<Vec<Step>, TaskError> {
        Ok(vec![Step::new(note("a"))])
    }
    for kser in both().await {
        let diary = Diary::default();
        let seen = diary.clone();
        let given = move |ctx: Context, _: Note| {
            let given = ctx.previous();
            seen.note(format!("<{}> {}", given.message(), given.data().as_str()));
            async {}
        };
        let registry = Registry::new().task(given).operation(build).build()?;
        let consumer = kser.consumer(registry).spawn();
        let message = br#"{"uuid":"r","entrypoint":"test.Game","params":{"notes":[]},"result":{"stdout":"before","retval":{"x":1}}}"#;
        kser.producer()
            .send_message(&Message::decode(message)?, None)
            .await?;
        sleep(MINUTE).await;
        assert_eq!(diary.read(), ["<> {}"]);
        consumer.stop().await?;
    }
    Ok(())
}
