//! Operations from launch to end, with the state stored and carried: the same rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::common::{self, Diary, Doomed, Double, Flaky, Game, Note, both, client, note};
use kser::client::Mode;
use kser::{Context, Error, Json, Outcome, Registry, RetryPolicy, Status, Step, TaskError};

fn registry(diary: &Diary) -> Result<Registry, Error> {
    let noted = diary.clone();
    let note = move |note: Note| {
        let diary = noted.clone();
        async move {
            diary.note(&note.text);
            Outcome::text(note.text)
        }
    };
    let tries = Arc::new(AtomicU32::new(0));
    let seen = diary.clone();
    let flaky = move |ctx: Context, flaky: Flaky| {
        let (diary, tries) = (seen.clone(), Arc::clone(&tries));
        async move {
            diary.note(format!("{}#{}", flaky.text, ctx.attempt()));
            match tries.fetch_add(1, Ordering::Relaxed) < flaky.failures {
                true => Err(TaskError::new("Flaky", "not yet")),
                false => Ok(flaky.text),
            }
        }
    };
    async fn doomed(_: Doomed) -> Result<(), TaskError> {
        Err(TaskError::new("Doomed", "no way").with_code(422))
    }
    async fn double(ctx: Context, double: Double) -> Result<Json<Double>, TaskError> {
        let before: Double = ctx.previous_as().unwrap_or(Double { n: 1 });
        Ok(Json(Double {
            n: double.n * before.n,
        }))
    }
    async fn game(game: Game) -> Result<Vec<Step>, TaskError> {
        Ok(game
            .notes
            .iter()
            .map(|text| Step::new(common::note(text)))
            .collect())
    }
    Registry::new()
        .task(note)
        .task(flaky)
        .task(doomed)
        .task(double)
        .operation(game)
        .build()
}

fn game(notes: &[&str]) -> Game {
    Game {
        notes: notes.iter().map(ToString::to_string).collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn steps_run_in_order_and_the_last_outcome_is_the_result() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let consumer = kser.consumer(registry(&diary)?).spawn();
        let run = kser.producer().launch(game(&["a", "b", "c"])).await?;
        assert_eq!(run.result().await?.message(), "c");
        assert_eq!(diary.read(), ["a", "b", "c"]);
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_result_of_a_step_is_forwarded() -> Result<(), Error> {
    for kser in both().await {
        let consumer = kser.consumer(registry(&Diary::default())?).spawn();
        let steps = [2, 3, 7].map(|n| Step::new(Double { n })).to_vec();
        let run = kser.producer().launch_steps("test.Twice", steps).await?;
        assert_eq!(run.result().await?.data_as::<Double>()?, Double { n: 42 });
        consumer.stop().await?;
    }
    Ok(())
}

/// A retry in the middle leaves no trace, with a short delay and with a long one.
#[tokio::test(start_paused = true)]
async fn a_retry_in_the_middle_leaves_no_trace() -> Result<(), Error> {
    for wait in [1, 60] {
        for kser in both().await {
            let diary = Diary::default();
            let (seen, tries) = (diary.clone(), Arc::new(AtomicU32::new(0)));
            let middle = move |flaky: Flaky| {
                let (diary, tries) = (seen.clone(), Arc::clone(&tries));
                async move {
                    diary.note(&flaky.text);
                    let failed = tries.fetch_add(1, Ordering::Relaxed) < flaky.failures;
                    match failed {
                        true => Outcome::text("half")
                            .with_error_message("oops")
                            .with_code(503),
                        false => Outcome::text(flaky.text),
                    }
                }
            };
            let seen = diary.clone();
            let last = move |ctx: Context, note: Note| {
                let diary = seen.clone();
                async move {
                    let previous = ctx.previous();
                    diary.note(format!(
                        "{}:{}{}",
                        note.text,
                        previous.code(),
                        previous.error_message()
                    ));
                    assert!(previous.error().is_none());
                }
            };
            let policy = RetryPolicy::exponential(3, Duration::from_secs(wait));
            let registry = Registry::new()
                .task(kser::IntoTask::with_retry(middle, policy))
                .task(last)
                .build()?;
            let consumer = kser.consumer(registry).spawn();
            let flaky = Flaky {
                text: "2".into(),
                failures: 2,
            };
            let steps = vec![
                Step::new(note("1")),
                Step::new(flaky),
                Step::new(note("3")),
                Step::new(note("4")),
            ];
            let run = kser.producer().launch_steps("test.Middle", steps).await?;
            assert_eq!(run.wait().await?.status, Status::Success);
            assert_eq!(diary.read(), ["1:0", "2", "2", "2", "3:0", "4:0"]);
            consumer.stop().await?;
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn after_a_final_failure_nothing_starts() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let consumer = kser.consumer(registry(&diary)?).spawn();
        let steps = vec![
            Step::new(note("a")),
            Step::new(Doomed {}),
            Step::new(note("c")),
        ];
        let run = kser.producer().launch_steps("test.Doomed", steps).await?;
        let state = run.wait().await?;
        assert_eq!((state.status, state.position), (Status::Failed, 2));
        let error = run.result().await.unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("is FAILED: Doomed (422): no way"),
            "{error}"
        );
        let mut letters = kser.dead_letters("test").await?;
        let letter = letters.next().await?;
        assert_eq!(letter.error().unwrap(), "Doomed (422): no way");
        assert_eq!(letter.message()?.entrypoint.as_str(), "test.Doomed");
        letter.discard().await?;
        assert_eq!(diary.read(), ["a"]);
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_empty_operation_fails_with_the_text_of_the_python_library() -> Result<(), Error> {
    for kser in both().await {
        let consumer = kser.consumer(registry(&Diary::default())?).spawn();
        let run = kser.producer().launch(game(&[])).await?;
        let state = run.wait().await?;
        assert_eq!(state.status, Status::Failed);
        assert_eq!(state.outcome.code(), 1);
        assert_eq!(
            state.outcome.error_message(),
            "Nothing to do, empty operation !"
        );
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_resumes_where_it_failed() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let never = kser::IntoTask::with_retry(
        {
            let diary = diary.clone();
            let tries = Arc::new(AtomicU32::new(0));
            move |flaky: Flaky| {
                let (diary, tries) = (diary.clone(), Arc::clone(&tries));
                async move {
                    diary.note(&flaky.text);
                    match tries.fetch_add(1, Ordering::Relaxed) {
                        0 => Err(TaskError::new("Flaky", "not yet")),
                        _ => Ok(()),
                    }
                }
            }
        },
        RetryPolicy::never(),
    );
    let seen = diary.clone();
    let note_task = move |note: Note| {
        let diary = seen.clone();
        async move { diary.note(note.text) }
    };
    let consumer = kser
        .consumer(Registry::new().task(never).task(note_task).build()?)
        .spawn();
    let flaky = Flaky {
        text: "b".into(),
        failures: 1,
    };
    let steps = vec![Step::new(note("a")), Step::new(flaky), Step::new(note("c"))];
    let run = kser.producer().launch_steps("test.Resume", steps).await?;
    assert_eq!(run.wait().await?.status, Status::Failed);
    run.resume().await?;
    assert_eq!(run.wait().await?.status, Status::Success);
    assert_eq!(diary.read(), ["a", "b", "b", "c"]);
    let again = run.resume().await.unwrap_err();
    assert!(matches!(again, Error::Rejected { .. }), "{again}");
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_fork_runs_only_what_is_not_done() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let consumer = kser.consumer(registry(&diary)?).spawn();
    let run = kser.producer().launch(game(&["a", "b", "c"])).await?;
    run.result().await?;
    let fork = run.fork(2).await?;
    assert_ne!(fork.id(), run.id());
    assert_eq!(fork.result().await?.message(), "c");
    assert_eq!(diary.read(), ["a", "b", "c", "b", "c"]);
    assert_eq!(fork.outcomes().await?.len(), 2);
    assert!(matches!(run.fork(5).await, Err(Error::Invalid { .. })));
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn one_id_launched_twice_is_one_run() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let producer = kser.producer();
    let first = producer.launch(game(&["a"])).with_id("game-7").await?;
    let second = producer.launch(game(&["a"])).with_id("game-7").await?;
    assert_eq!(first.id(), second.id());
    let other = producer
        .launch(game(&["b"]))
        .with_id("game-7")
        .await
        .unwrap_err();
    assert!(matches!(other, Error::Conflict { .. }), "{other}");
    let consumer = kser.consumer(registry(&diary)?).spawn();
    second.result().await?;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(diary.read(), ["a"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_message_from_python_launches_a_run() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let consumer = kser.consumer(registry(&diary)?).spawn();
        let text = br#"{"uuid": "from-python", "entrypoint": "test.Game", "params": {"notes": ["a", "b"]}}"#;
        let message = kser::message::Message::decode(text)?;
        kser.producer().send_message(&message, None).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(diary.read(), ["a", "b"]);
        if kser.runs().status(&"from-python".into()).await.is_ok() {
            let state = kser.runs().wait(&"from-python".into()).await?;
            assert_eq!(state.status, Status::Success);
        }
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_second_launch_from_outside_with_other_content_leaves_the_run_alone() -> Result<(), Error>
{
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let consumer = kser.consumer(registry(&diary)?).spawn();
    for notes in ["[\"a\"]", "[\"b\"]"] {
        let text = format!(
            r#"{{"uuid": "p", "entrypoint": "test.Game", "params": {{"notes": {notes}}}}}"#
        );
        let message = kser::message::Message::decode(text.as_bytes())?;
        kser.producer().send_message(&message, None).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut letters = kser.dead_letters("test").await?;
    let letter = letters.next().await?;
    assert!(letter.error().unwrap().contains("other content"));
    letter.discard().await?;
    assert_eq!(diary.read(), ["a"]);
    assert_eq!(
        kser.runs().status(&"p".into()).await?.status,
        Status::Success
    );
    consumer.stop().await
}
