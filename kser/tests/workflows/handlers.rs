//! What handlers and policies do wrong ends an attempt and never the consumer.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{Diary, Game, Note, both, note};
use kser::message::Message;
use kser::{Client, Context, Error, IntoTask, Registry, RetryPolicy, Status, Step, TaskError};

/// Launches one note and returns how its run ended.
async fn ended(kser: &Client) -> (Status, String) {
    let steps = vec![Step::new(note("x"))];
    let run = kser
        .producer()
        .launch_steps("test.One", steps)
        .await
        .unwrap();
    let state = run.wait_timeout(Duration::from_secs(7200)).await.unwrap();
    (state.status, state.outcome.shown().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_leaves_it_to_the_error() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let tries = diary.clone();
        let task = move |ctx: Context, _: Note| {
            tries.note(ctx.attempt().to_string());
            async { Err::<(), _>(TaskError::new("Busy", "busy")) }
        };
        let policy = RetryPolicy::default().retry_if(|_| panic!("what is it worth?"));
        let consumer = kser
            .consumer(Registry::new().task(task.with_retry(policy)).build()?)
            .spawn();
        assert_eq!(ended(&kser).await, (Status::Failed, "busy".to_owned()));
        assert_eq!(diary.read(), ["1", "2", "3"]);
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_when_its_time_is_over_ends_its_attempt_only() -> Result<(), Error> {
    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    async fn hangs(_: Note) {
        let _grenade = Grenade;
        std::future::pending::<()>().await;
    }
    for kser in both().await {
        let task = hangs.with_retry(RetryPolicy::never());
        let task = task.with_time_limit(Duration::from_secs(1));
        let consumer = kser.consumer(Registry::new().task(task).build()?).spawn();
        for _ in 0..2 {
            let text = "the attempt took longer than its limit of 1s";
            assert_eq!(ended(&kser).await, (Status::Failed, text.to_owned()));
        }
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_may_be_as_long_as_can_be_written() -> Result<(), Error> {
    async fn slow(_: Note) -> &'static str {
        tokio::time::sleep(Duration::from_secs(4000)).await;
        "at last"
    }
    for kser in both().await {
        let task = slow.with_time_limit(Duration::MAX);
        let consumer = kser.consumer(Registry::new().task(task).build()?).spawn();
        assert_eq!(ended(&kser).await, (Status::Success, "at last".to_owned()));
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_build_and_its_steps_know_their_run() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let (built, ran) = (diary.clone(), diary.clone());
        let place = |ctx: &Context| format!("{} {}", ctx.run().unwrap(), ctx.step().unwrap());
        let build = move |ctx: Context, game: Game| {
            built.note(place(&ctx));
            async move {
                Ok::<_, TaskError>(
                    game.notes
                        .iter()
                        .map(|text| Step::new(note(text)))
                        .collect(),
                )
            }
        };
        let task = move |ctx: Context, _: Note| {
            ran.note(place(&ctx));
            async {}
        };
        let consumer = kser
            .consumer(Registry::new().task(task).operation(build).build()?)
            .spawn();
        let notes = vec!["a".to_owned(), "b".to_owned()];
        let run = kser.producer().launch(Game { notes }).await?;
        run.result().await?;
        // As Python writes it: without a word about a run.
        let launch = br#"{"uuid":"5e1f","entrypoint":"test.Game","params":{"notes":["c","d"]}}"#;
        let launch = Message::decode(launch)?;
        kser.producer().send_message(&launch, None).await?;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let places = |run: &str| {
            (0..=2)
                .map(|step| format!("{run} {step}"))
                .collect::<Vec<_>>()
        };
        let expected = [places(run.id().as_str()), places("5e1f")].concat();
        assert_eq!(diary.read(), expected);
        consumer.stop().await?;
    }
    Ok(())
}
