//! A stop is not a failure.

use std::time::Duration;

use crate::common::{self, Diary, Note, both, client, note, slow};
use kser::client::Mode;
use kser::{Context, Error, IntoTask, Registry, RetryPolicy, Step, TaskError};
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_runs_and_gives_back_the_rest() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let consumer = kser.consumer(slow(&diary)).with_concurrency(1).spawn();
        let producer = kser.producer();
        for text in ["a", "b"] {
            producer.send(note(text)).with_key("k").await?;
        }
        sleep(Duration::from_millis(500)).await;
        consumer.stop().await?;
        assert_eq!(diary.read(), ["+a", "-a"]);
        let consumer = kser.consumer(slow(&diary)).spawn();
        sleep(Duration::from_secs(3)).await;
        assert_eq!(diary.read(), ["+a", "-a", "+b", "-b"]);
        consumer.stop().await?;
    }
    Ok(())
}

/// A deploy is not a failure: what is given back at the deadline costs no attempt.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_at_the_deadline_costs_no_attempt() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let seen = diary.clone();
        let task = move |ctx: Context, _: Note| {
            let diary = seen.clone();
            async move {
                diary.note(format!("#{}", ctx.attempt()));
                let told = tokio::time::timeout(Duration::from_secs(3600), ctx.cancelled()).await;
                diary.note(format!("told {}", told.is_ok()));
                std::future::pending::<()>().await;
            }
        };
        let task = task
            .with_retry(RetryPolicy::never())
            .with_time_limit(Duration::from_secs(9000));
        let registry = Registry::new().task(task).build()?;
        let steps = vec![Step::new(note("x"))];
        let run = kser.producer().launch_steps("test.Stop", steps).await?;
        for _ in 0..4 {
            let consumer = kser.consumer(registry.clone()).spawn();
            sleep(Duration::from_secs(40)).await;
            let began = Instant::now();
            consumer.stop().await?;
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "{:?}",
                began.elapsed()
            );
        }
        assert_eq!(diary.read(), ["#1", "told true"].repeat(4));
        assert!(run.wait_timeout(Duration::from_secs(1)).await.is_err());
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_count_in_memory_survives_a_stop() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let diary = Diary::default();
    let seen = diary.clone();
    let task = move |ctx: Context, _: Note| {
        seen.note(format!("#{}", ctx.attempt()));
        async { Err::<(), _>(TaskError::new("Always", "no")) }
    };
    let task = task.with_retry(RetryPolicy::exponential(3, Duration::from_secs(5)));
    let registry = Registry::new().task(task).build()?;
    kser.producer().send(note("x")).await?;
    for _ in 0..2 {
        let consumer = kser.consumer(registry.clone()).spawn();
        sleep(Duration::from_secs(1)).await;
        consumer.stop().await?;
        sleep(Duration::from_secs(60)).await;
    }
    let consumer = kser.consumer(registry).spawn();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(diary.read(), ["#1", "#2", "#3"]);
    consumer.stop().await
}

/// Its handler does not yield, and the process is stopped three times: it is a deploy each time, and no crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_handler_that_blocks_its_thread_is_given_back() -> Result<(), Error> {
    tokio::try_join!(
        is_given_back(Mode::AtLeastOnce),
        is_given_back(Mode::Stored)
    )?;
    Ok(())
}

async fn is_given_back(mode: Mode) -> Result<(), Error> {
    let kser = client(mode).await;
    let blocking = |_: Note| async { std::thread::sleep(Duration::from_secs(8)) };
    let registry = Registry::new().task(blocking).build()?;
    let steps = vec![Step::new(note("x"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    for _ in 0..3 {
        let consumer = kser.consumer(registry.clone());
        let consumer = consumer
            .with_shutdown_timeout(Duration::from_millis(100))
            .spawn();
        while consumer.handle().running().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        consumer.stop().await?;
    }
    let consumer = kser.consumer(common::noting(&Diary::default())).spawn();
    let outcome = run.result().await?;
    assert_eq!(outcome.message(), "x", "{mode:?}");
    consumer.stop().await
}

/// What is behind a retry of its key runs behind it, whoever has the consumer stop meanwhile.
#[tokio::test(start_paused = true)]
async fn a_stop_in_a_back_off_keeps_the_order_of_a_key() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let diary = Diary::default();
    let seen = diary.clone();
    let task = move |ctx: Context, note: Note| {
        let (first, text) = (ctx.attempt() == 1, note.text);
        let fails = first && text == "first";
        seen.note(format!("{text}#{}", ctx.attempt()));
        async move {
            match fails {
                true => Err(TaskError::new("Once", "once")),
                false => Ok(()),
            }
        }
    };
    let task = task.with_retry(RetryPolicy::exponential(2, Duration::from_secs(5)));
    let registry = Registry::new().task(task).build()?;
    for text in ["first", "second", "third"] {
        kser.producer().send(note(text)).with_key("k").await?;
    }
    for _ in 0..2 {
        let consumer = kser.consumer(registry.clone()).spawn();
        sleep(Duration::from_secs(1)).await;
        consumer.stop().await?;
    }
    let consumer = kser.consumer(registry).spawn();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(diary.read(), ["first#1", "first#2", "second#1", "third#1"]);
    consumer.stop().await
}
