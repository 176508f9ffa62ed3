//! Bad input gets a clear error that says what was wrong and where, nothing is lost, and the consumer lives.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{Diary, Double, Game, Note, both, client, note, noting};
use bytes::Bytes;
use kser::backend::{Record, Transport};
use kser::client::Mode;
use kser::dead_letter::DeadLetter;
use kser::memory::MemoryTransport;
use kser::message::{Message, Topic};
use kser::{
    Client, Context, Error, IntoTask, Json, Registry, RetryPolicy, Status, Step, TaskError,
};
use serde::Serialize;

async fn letter(kser: &Client) -> DeadLetter {
    let mut letters = kser.dead_letters("test").await.unwrap();
    let letter = tokio::time::timeout(Duration::from_secs(7200), letters.next()).await;
    // Kept open: a letter belongs to whoever has it open.
    std::mem::forget(letters);
    letter.expect("there is a dead letter").unwrap()
}

/// Runs one step of a run with this registry, and returns the text of its failure and of its dead letter.
async fn fails(kser: &Client, registry: Registry, step: Step) -> (String, String) {
    let consumer = kser.consumer(registry).spawn();
    let run = kser
        .producer()
        .launch_steps("test.Bad", vec![step])
        .await
        .unwrap();
    let state = run.wait().await.unwrap();
    assert_eq!(state.status, Status::Failed);
    let letter = letter(kser).await;
    let error = letter.error().unwrap();
    letter.discard().await.unwrap();
    consumer.stop().await.unwrap();
    (state.outcome.error_message().to_owned(), error)
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_becomes_a_dead_letter_with_the_same_bytes() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let kser = Client::builder(transport.clone()).build().await?;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    let bad = [
        Some(Bytes::from_static(b"\x1f\x8bnope")),
        Some(Bytes::new()),
        None,
    ];
    for payload in bad {
        let mut record = Record::new(Topic::new("test")?, payload.clone()).with_key("k");
        record.headers.push(("user".into(), None));
        transport
            .publish(vec![record])
            .await
            .map_err(|e| e.into_error())?;
        kser.producer().send(note("behind")).with_key("k").await?;
        let letter = letter(&kser).await;
        assert_eq!(letter.record().payload, payload);
        assert_eq!(letter.record().key.as_deref(), Some(&b"k"[..]));
        assert_eq!(letter.record().headers[0], ("user".to_owned(), None));
        assert!(!letter.error().unwrap().is_empty());
        assert_eq!(letter.origin().unwrap().0, "test");
        letter.discard().await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(diary.read(), ["behind"; 3]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn an_unknown_entrypoint_waits_ten_minutes_and_is_then_given_up() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let consumer = kser.consumer(noting(&diary)).spawn();
        let began = tokio::time::Instant::now();
        let step = Step::named("test.Later", &serde_json::json!({}));
        let run = kser
            .producer()
            .launch_steps("test.Unknown", vec![step])
            .await?;
        let state = run.wait().await?;
        assert_eq!(
            state.outcome.error_message(),
            "Entrypoint 'test.Later' not registred"
        );
        assert_eq!((state.status, state.outcome.code()), (Status::Failed, 400));
        assert!(
            began.elapsed() >= Duration::from_secs(600),
            "{:?}",
            began.elapsed()
        );
        let letter = letter(&kser).await;
        assert!(letter.error().unwrap().contains("not registred"));
        letter.discard().await?;
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_unknown_entrypoint_runs_once_someone_knows_it() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let diary = Diary::default();
    let empty = kser
        .consumer(Registry::default())
        .with_topics(["test"])?
        .spawn();
    kser.producer().send(note("late")).await?;
    tokio::time::sleep(Duration::from_secs(120)).await;
    empty.stop().await?;
    let consumer = kser.consumer(noting(&diary)).spawn();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(diary.read(), ["late"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn params_of_the_wrong_type_are_a_validation_error() -> Result<(), Error> {
    for kser in both().await {
        let step = Step::named("test.Note", &serde_json::json!({}));
        let (text, letter) = fails(&kser, noting(&Diary::default()), step).await;
        assert_eq!(text, "Missing parameter: text");
        assert_eq!(letter, "ValidationError (400): Missing parameter: text");
        let step = Step::named("test.Note", &serde_json::json!({"text": 5}));
        let (text, _) = fails(&kser, noting(&Diary::default()), step).await;
        assert!(
            text.starts_with("Invalid parameter: text: invalid type: integer, expected"),
            "{text}"
        );
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_and_the_consumer_lives() -> Result<(), Error> {
    async fn panics(_: Note) {
        panic!("boom");
    }
    for kser in both().await {
        let task = panics.with_retry(RetryPolicy::never());
        let (text, _) = fails(
            &kser,
            Registry::new().task(task).build()?,
            Step::new(note("x")),
        )
        .await;
        assert_eq!(text, "panic: boom");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_returns_is_ended_by_its_time_limit() -> Result<(), Error> {
    async fn hangs(_: Note) {
        std::future::pending::<()>().await;
    }
    for kser in both().await {
        let task = hangs.with_retry(RetryPolicy::exponential(2, Duration::from_secs(1)));
        let task = task.with_time_limit(Duration::from_secs(90));
        let (text, letter) = fails(
            &kser,
            Registry::new().task(task).build()?,
            Step::new(note("x")),
        )
        .await;
        assert_eq!(text, "the attempt took longer than its limit of 90s");
        assert!(letter.starts_with("TimeLimit (408)"), "{letter}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_no_json_names_the_field() -> Result<(), Error> {
    #[derive(Serialize)]
    struct Mean {
        mean: f64,
    }
    async fn mean(_: Note) -> Json<Mean> {
        Json(Mean { mean: f64::NAN })
    }
    for kser in both().await {
        let (text, _) = fails(
            &kser,
            Registry::new().task(mean).build()?,
            Step::new(note("x")),
        )
        .await;
        assert_eq!(
            text,
            "cannot write the value as JSON: mean: NaN is no JSON value"
        );
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_result_over_the_limit_fails_the_step_with_the_limit() -> Result<(), Error> {
    async fn large(_: Note) -> String {
        "x".repeat(5_000_000)
    }
    for kser in both().await {
        let (text, _) = fails(
            &kser,
            Registry::new().task(large).build()?,
            Step::new(note("x")),
        )
        .await;
        assert!(text.starts_with("bytes of the outcome is 50000"), "{text}");
        assert!(text.ends_with("over the limit of 262144"), "{text}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_next_message_over_the_limit_fails_the_step() -> Result<(), Error> {
    async fn fills(_: Double) -> String {
        "x".repeat(200_000)
    }
    for kser in both().await {
        let kser = kser.clone();
        let registry = noting(&Diary::default())
            .into_builder()
            .task(fills)
            .build()?;
        let consumer = kser.consumer(registry).spawn();
        let large = Step::new(note(&"y".repeat(900_000)));
        let steps = vec![Step::new(Double { n: 1 }), large];
        let launched = kser.producer().launch_steps("test.Large", steps).await;
        match launched {
            // Carried, the plan is too large at once, and nothing was sent.
            Err(error) => assert!(error.to_string().contains("name a state store"), "{error}"),
            Ok(run) => {
                let state = run.wait().await?;
                assert_eq!((state.status, state.position), (Status::Failed, 1));
                let said = state.outcome.error_message();
                let named = format!(
                    "bytes of the message of step 2 of {}, test.Note (",
                    run.id()
                );
                assert!(said.starts_with(&named), "{said}");
                assert!(said.contains(") is 11"), "{said}");
            }
        }
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn too_many_steps_in_a_build_end_the_run_with_the_limit() -> Result<(), Error> {
    async fn many(_: Game) -> Result<Vec<Step>, TaskError> {
        Ok(vec![Step::new(note("a")); 2_000])
    }
    let kser = client(Mode::AtLeastOnce).await;
    let consumer = kser
        .consumer(
            noting(&Diary::default())
                .into_builder()
                .operation(many)
                .build()?,
        )
        .spawn();
    let run = kser.producer().launch(Game { notes: Vec::new() }).await?;
    let state = run.wait().await?;
    assert_eq!(state.status, Status::Failed);
    assert!(
        state.outcome.error_message().contains("name a state store"),
        "{}",
        state.outcome.error_message()
    );
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn metadata_of_the_name_kser_cannot_be_launched_with() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let launch = kser.producer().launch(Game { notes: Vec::new() });
    let error = launch.with_metadata("kser", "mine").await.unwrap_err();
    assert!(
        error.to_string().contains("the name belongs to kser"),
        "{error}"
    );
    async fn game(_: Game) -> Result<Vec<Step>, TaskError> {
        Ok(Vec::new())
    }
    let consumer = kser
        .consumer(Registry::new().operation(game).build()?)
        .spawn();
    let text = br#"{"uuid":"p","entrypoint":"test.Game","params":{"notes":[]},"metadata":{"kser":"mine"}}"#;
    kser.producer()
        .send_message(&Message::decode(text)?, None)
        .await?;
    let letter = letter(&kser).await;
    assert!(
        letter
            .error()
            .unwrap()
            .contains("metadata.kser is not kser's")
    );
    letter.discard().await?;
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_message_of_a_newer_version_waits() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    let text = br#"{"uuid":"p","entrypoint":"test.Note","params":{"text":"x"},"metadata":{"kser":{"v":2}}}"#;
    kser.producer()
        .send_message(&Message::decode(text)?, None)
        .await?;
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert!(diary.read().is_empty());
    assert_eq!(consumer.handle().health().transport[0].lag, Some(1));
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn an_error_in_a_context_says_what_was_forwarded() -> Result<(), Error> {
    async fn picky(ctx: Context, _: Note) -> Result<(), TaskError> {
        let _: Double = ctx.previous_as()?;
        Ok(())
    }
    let kser = client(Mode::Stored).await;
    let (text, _) = fails(
        &kser,
        Registry::new().task(picky).build()?,
        Step::new(note("x")),
    )
    .await;
    assert!(text.ends_with("does not fit: n is missing"), "{text}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_would_be_too_large_leaves_out_what_we_know() -> Result<(), Error> {
    let transport = MemoryTransport::with_largest_record(300);
    let kser = Client::builder(transport.clone()).build().await?;
    let consumer = kser.consumer(noting(&Diary::default())).spawn();
    let payload = Bytes::from(vec![b'x'; 290]);
    kser.producer().send_bytes("test", payload.clone()).await?;
    let letter = letter(&kser).await;
    assert_eq!(letter.record().payload, Some(payload));
    letter.discard().await?;
    consumer.stop().await
}

/// Nothing can be written beside it, so that it can neither wait in a delayed record nor hold anything up.
#[tokio::test(start_paused = true)]
async fn a_message_as_large_as_a_record_may_be_waits_for_no_consumer() -> Result<(), Error> {
    let transport = MemoryTransport::with_largest_record(300);
    let kser = Client::builder(transport.clone()).build().await?;
    let consumer = kser.consumer(noting(&Diary::default())).spawn();
    let around = r#"{"uuid":"u","entrypoint":"test.Unknown","params":{"x":""}}"#.len();
    let text = "x".repeat(290 - around);
    let payload =
        format!(r#"{{"uuid":"u","entrypoint":"test.Unknown","params":{{"x":"{text}"}}}}"#);
    kser.producer().send_bytes("test", payload.clone()).await?;
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert!(consumer.handle().health().unsettled.is_empty());
    let letter = letter(&kser).await;
    assert_eq!(letter.record().payload, Some(payload.into()));
    letter.discard().await?;
    consumer.stop().await
}
