//! How a consumer works: lanes, stops, cancellation, suspects, layers, pauses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{self, Diary, Note, both, client, note, noting, slow};
use kser::client::{Mode, Routes};
use kser::layer::TaskRequest;
use kser::{Context, Error, IntoTask, Outcome, Registry, RetryPolicy, Status, Step, TaskError};
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_key_runs_one_at_a_time_and_others_beside_it() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let diary = Diary::default();
    let consumer = kser.consumer(slow(&diary)).spawn();
    let producer = kser.producer();
    let began = Instant::now();
    for (key, text) in [("k", "a"), ("k", "b"), ("l", "c")] {
        producer.send(note(text)).with_key(key).await?;
    }
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(diary.read(), ["+a", "+c", "-a", "-c", "+b", "-b"]);
    assert!(began.elapsed() < Duration::from_secs(3));
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_was_asked_for() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = (Arc::clone(&now), Arc::clone(&most));
    let task = move |_: Note| {
        let (now, most) = seen.clone();
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            now.fetch_sub(1, Ordering::Relaxed);
        }
    };
    let consumer = kser
        .consumer(Registry::new().task(task).build()?)
        .with_concurrency(3)
        .spawn();
    let producer = kser.producer();
    producer
        .send_all((0..10).map(|_| producer.send(note("x"))))
        .await;
    sleep(Duration::from_millis(4500)).await;
    assert_eq!(most.load(Ordering::Relaxed), 3);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_bounded_by_count_and_by_bytes() -> Result<(), Error> {
    for (records, bytes, expected) in [(5, usize::MAX, 5), (1000, 2500, 3)] {
        let kser = client(Mode::AtLeastOnce).await;
        let consumer = kser.consumer(slow(&Diary::default()));
        let consumer = consumer
            .with_concurrency(1)
            .with_buffer(records, bytes)
            .spawn();
        let producer = kser.producer();
        let large = "x".repeat(800);
        producer
            .send_all((0..50).map(|_| producer.send(note(&large))))
            .await;
        sleep(Duration::from_millis(1500)).await;
        let health = consumer.handle().health();
        assert_eq!(health.held, expected, "{health:?}");
        consumer.kill();
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_waiting_retry_holds_no_place() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let diary = Diary::default();
    let seen = diary.clone();
    let task = move |ctx: Context, note: Note| {
        let diary = seen.clone();
        async move {
            diary.note(format!("{}#{}", note.text, ctx.attempt()));
            match (note.text.as_str(), ctx.attempt()) {
                ("bad", 1) => Err(TaskError::new("Once", "once")),
                _ => Ok(()),
            }
        }
    };
    let task = task.with_retry(RetryPolicy::exponential(2, Duration::from_secs(5)));
    let consumer = kser
        .consumer(Registry::new().task(task).build()?)
        .with_concurrency(1)
        .spawn();
    kser.producer().send(note("bad")).with_key("k").await?;
    kser.producer().send(note("behind")).with_key("k").await?;
    kser.producer().send(note("good")).await?;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(diary.read(), ["bad#1", "good#1"]);
    sleep(Duration::from_secs(10)).await;
    // The key keeps its order over a short wait.
    assert_eq!(diary.read(), ["bad#1", "good#1", "bad#2", "behind#1"]);
    consumer.stop().await
}

/// A cancel is durable.
#[tokio::test(start_paused = true)]
async fn a_cancelled_retry_never_runs() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let seen = diary.clone();
    let task = move |_: Note| {
        seen.note("ran");
        async { Err::<(), _>(TaskError::new("Always", "no")) }
    };
    let task = task.with_retry(RetryPolicy::exponential(3, Duration::from_secs(60)));
    let registry = Registry::new().task(task).build()?;
    let consumer = kser.consumer(registry.clone()).spawn();
    let steps = vec![Step::new(note("x"))];
    let run = kser.producer().launch_steps("test.Cancel", steps).await?;
    sleep(Duration::from_secs(1)).await;
    consumer.stop().await?;
    run.cancel().await?;
    assert_eq!(run.wait().await?.status, Status::Cancelled);
    let consumer = kser.consumer(registry).spawn();
    sleep(Duration::from_secs(7200)).await;
    assert_eq!(diary.read(), ["ran"]);
    assert_eq!(consumer.handle().health().transport[0].lag, Some(0));
    assert!(matches!(run.cancel().await, Ok(())));
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_cancel_fires_the_token_and_a_late_success_revives_nothing() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let seen = diary.clone();
    let task = move |ctx: Context, note: Note| {
        let diary = seen.clone();
        async move {
            diary.note(&note.text);
            ctx.cancelled().await;
            diary.note("told");
            sleep(Duration::from_secs(100)).await;
            Outcome::text("late")
        }
    };
    let consumer = kser.consumer(Registry::new().task(task).build()?).spawn();
    let steps = vec![Step::new(note("a")), Step::new(note("b"))];
    let run = kser.producer().launch_steps("test.Cancel", steps).await?;
    sleep(Duration::from_secs(100)).await;
    run.cancel().await?;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(diary.read(), ["a", "told"]);
    let leased = run.resume().await.unwrap_err();
    assert!(common::told(&leased).contains("is being run"), "{leased}");
    sleep(Duration::from_secs(200)).await;
    let state = run.status().await?;
    assert_eq!((state.status, state.position), (Status::Cancelled, 2));
    assert_eq!(run.outcomes().await?[0].message(), "late");
    run.resume().await?;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(diary.read(), ["a", "told", "b"]);
    consumer.kill();
    Ok(())
}

/// A process that dies is a subscription that is dropped without a goodbye.
#[tokio::test(start_paused = true)]
async fn a_task_that_kills_its_process_ends_in_the_dead_letters_alone() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let seen = diary.clone();
        let dying = Arc::new(tokio::sync::Notify::new());
        let die = Arc::clone(&dying);
        let task = move |note: Note| {
            let (diary, die) = (seen.clone(), Arc::clone(&die));
            async move {
                diary.note(&note.text);
                match note.text.as_str() {
                    "kill" => {
                        die.notify_one();
                        std::future::pending().await
                    }
                    _ => sleep(Duration::from_millis(100)).await,
                }
            }
        };
        let registry = Registry::new().task(task).build()?;
        let steps = vec![Step::new(note("kill")).with_key("kill")];
        let run = kser.producer().launch_steps("test.Kill", steps).await?;
        for index in 0..10 {
            kser.producer()
                .send(note(&format!("innocent {index}")))
                .await?;
        }
        for _ in 0..3 {
            let consumer = kser.consumer(registry.clone()).spawn();
            dying.notified().await;
            consumer.kill();
            sleep(Duration::from_secs(31)).await;
        }
        let consumer = kser.consumer(registry).spawn();
        let state = run.wait().await?;
        assert_eq!(state.status, Status::Failed);
        assert!(
            state
                .outcome
                .error_message()
                .contains("may kill its process"),
            "{:?}",
            state.outcome
        );
        sleep(Duration::from_secs(60)).await;
        let diary = diary.read();
        assert_eq!(diary.iter().filter(|text| *text == "kill").count(), 3);
        let innocent = (0..10).filter(|index| diary.contains(&format!("innocent {index}")));
        assert_eq!(innocent.count(), 10);
        let mut letters = kser.dead_letters("test").await?;
        letters.next().await?.discard().await?;
        let more = tokio::time::timeout(Duration::from_secs(60), letters.next()).await;
        assert!(more.is_err(), "no innocent task is a dead letter");
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_new_life_of_an_instance_takes_over_at_once() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let tries = Arc::new(AtomicU32::new(0));
    let task = move |_: Note| {
        let first = tries.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if first {
                std::future::pending::<()>().await;
            }
        }
    };
    let registry = Registry::new().task(task).build()?;
    let old = kser.consumer(registry.clone()).with_instance("one").spawn();
    let run = kser
        .producer()
        .launch_steps("test.Instance", vec![Step::new(note("x"))])
        .await?;
    sleep(Duration::from_secs(5)).await;
    let began = Instant::now();
    let new = kser.consumer(registry).with_instance("one").spawn();
    run.result().await?;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    let error = old.join().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "instance one was started again elsewhere"
    );
    new.stop().await
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_topics_share_a_group_does_not_supersede_itself() -> Result<(), Error> {
    let routes = Routes::new().with_group("test", "one")?;
    let routes = routes.with_group("other", "one")?;
    let kser = kser::Client::builder_from_url("memory://").routes(routes);
    let kser = kser.build().await?;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).with_instance("one");
    let consumer = consumer.with_topics(["test", "other", "test"])?.spawn();
    kser.producer().send(note("a")).await?;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(diary.read(), ["a"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_paused_consumer_takes_nothing_new() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let diary = Diary::default();
    let consumer = kser.consumer(slow(&diary)).spawn();
    kser.producer().send(note("a")).await?;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(
        consumer.handle().running()[0].entrypoint.as_str(),
        "test.Note"
    );
    consumer.handle().pause();
    kser.producer().send(note("b")).await?;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(diary.read(), ["+a", "-a"]);
    assert!(consumer.handle().health().paused && consumer.handle().running().is_empty());
    consumer.handle().resume();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(diary.read(), ["+a", "-a", "+b", "-b"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn layers_of_tower_go_around_handlers() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let registry = slow(&diary);
        let limit = tower::timeout::TimeoutLayer::new(Duration::from_millis(100));
        let one = tower::limit::GlobalConcurrencyLimitLayer::new(1);
        let consumer = kser
            .consumer(registry)
            .with_layer(limit)
            .with_layer(one)
            .spawn();
        let steps = vec![Step::new(note("x"))];
        let run = kser.producer().launch_steps("test.Layers", steps).await?;
        let state = run.wait().await?;
        assert_eq!(state.status, Status::Failed);
        assert_eq!(state.outcome.error_message(), "request timed out");
        assert_eq!(diary.read(), ["+x"; 3]);
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_panics_is_an_error_of_the_task() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let panics =
        tower::util::MapRequestLayer::new(|_: TaskRequest| -> TaskRequest { panic!("layer") });
    let consumer = kser
        .consumer(slow(&Diary::default()))
        .with_layer(panics)
        .spawn();
    let run = kser
        .producer()
        .launch_steps("test.Layer", vec![Step::new(note("x"))])
        .await?;
    assert_eq!(run.wait().await?.outcome.error_message(), "panic: layer");
    consumer.stop().await
}
