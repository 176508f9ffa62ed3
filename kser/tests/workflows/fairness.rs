//! One key, one entrypoint, one suspect or many retries do not stop the others.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Diary, Doomed, Double, Note, client, note};
use crate::whole::Whole;
use kser::backend::Record;
use kser::client::Mode;
use kser::message::Topic;
use kser::{Context, IntoTask, Outcome, Registry, RetryPolicy, Step, TaskError};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A task whose text is a name, and how many milliseconds it takes.
fn timed(diary: &Diary) -> Registry {
    let diary = diary.clone();
    let task = move |note: Note| {
        let diary = diary.clone();
        async move {
            let (name, takes) = note.text.split_once(' ').unwrap();
            sleep(Duration::from_millis(takes.parse().unwrap())).await;
            diary.note(name);
        }
    };
    Registry::new().task(task).build().unwrap()
}

fn record(text: &str, key: Option<&str>) -> Record {
    let message =
        format!(r#"{{"uuid":"{text}","entrypoint":"test.Note","params":{{"text":"{text}"}}}}"#);
    let record = Record::new(Topic::new("test").unwrap(), Some(message.into()));
    match key {
        Some(key) => record.with_key(key.to_owned()),
        None => record,
    }
}

fn count(diary: &Diary, name: &str) -> usize {
    let done = diary.read();
    done.iter().filter(|done| done.starts_with(name)).count()
}

#[tokio::test(start_paused = true)]
async fn a_hot_key_leaves_room_to_others_and_runs_without_a_pause() {
    let transport = Whole::default();
    for _ in 0..1400 {
        transport.put(record("hot 100", Some("h")), 0);
    }
    for _ in 0..100 {
        transport.put(record("other 10", Some("x")), 0);
    }
    let diary = Diary::default();
    let kser = kser::Client::builder(transport).build().await.unwrap();
    let consumer = kser.consumer(timed(&diary)).with_concurrency(16).spawn();
    sleep(SECOND * 15).await;
    assert_eq!(count(&diary, "other"), 100);
    let hot = count(&diary, "hot");
    assert!(hot >= 140, "{hot} in 15 s");
    sleep(SECOND * 25).await;
    let hot = count(&diary, "hot");
    assert!(hot >= 380, "{hot} in 40 s");
    consumer.stop().await.unwrap();
}

/// The next record of a key does not go behind everything that is ready.
#[tokio::test(start_paused = true)]
async fn a_hot_key_takes_turns_with_all_that_is_ready() {
    let transport = Whole::default();
    for _ in 0..100 {
        transport.put(record("hot 10", Some("h")), 0);
    }
    for _ in 0..8_000 {
        transport.put(record("other 10", None), 0);
    }
    let diary = Diary::default();
    let kser = kser::Client::builder(transport).build().await.unwrap();
    let consumer = kser.consumer(timed(&diary)).with_concurrency(16);
    let consumer = consumer.with_buffer(30_000, usize::MAX).spawn();
    sleep(SECOND * 2).await;
    let (hot, others) = (count(&diary, "hot"), count(&diary, "other"));
    assert_eq!(hot, 100);
    // Sixteen places of 100 a second each, but for what the hot key takes.
    assert!(others >= 2_500, "{others} in 2 s");
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn parked_retries_do_not_stop_others() {
    let kser = client(Mode::AtLeastOnce).await;
    let diary = Diary::default();
    let seen = diary.clone();
    let task = move |ctx: Context, note: Note| {
        let diary = seen.clone();
        async move {
            match (note.text.as_str(), ctx.attempt()) {
                ("bad", 1) => Err(TaskError::new("Once", "once")),
                _ => {
                    diary.note(note.text);
                    Ok(())
                }
            }
        }
    };
    let task = task.with_retry(RetryPolicy::exponential(2, SECOND * 8));
    let consumer = kser
        .consumer(Registry::new().task(task).build().unwrap())
        .spawn();
    let producer = kser.producer();
    let sends = (0..3000).map(|_| producer.send(note("bad")));
    producer.send_all(sends).await;
    let sends = (0..100).map(|_| producer.send(note("good")));
    producer.send_all(sends).await;
    sleep(SECOND).await;
    assert_eq!(count(&diary, "good"), 100);
    sleep(SECOND).await;
    let health = consumer.handle().health();
    assert_eq!(health.parked, 3000, "{health:?}");
    sleep(SECOND * 20).await;
    assert_eq!(count(&diary, "bad"), 3000);
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_entrypoint_leaves_places_to_others() {
    let kser = client(Mode::AtLeastOnce).await;
    let diary = Diary::default();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (Arc::clone(&now), Arc::clone(&most));
    let (slow_diary, quick_diary) = (diary.clone(), diary.clone());
    let slow = move |_: Double| {
        let (running, peak, diary) = (Arc::clone(&running), Arc::clone(&peak), slow_diary.clone());
        async move {
            let now = running.fetch_add(1, Ordering::Relaxed) + 1;
            peak.fetch_max(now, Ordering::Relaxed);
            sleep(MINUTE).await;
            running.fetch_sub(1, Ordering::Relaxed);
            diary.note("slow");
        }
    };
    let quick = move |_: Note| {
        let diary = quick_diary.clone();
        async move { diary.note("quick") }
    };
    let registry = Registry::new().task(slow).task(quick).build().unwrap();
    let consumer = kser.consumer(registry).with_concurrency(8);
    let consumer = consumer.with_concurrency_of::<Double>(2);
    let consumer = consumer.with_buffer(40, usize::MAX).spawn();
    let producer = kser.producer();
    let sends = (0..60).map(|n| producer.send(Double { n }));
    producer.send_all(sends).await;
    let sends = (0..100).map(|_| producer.send(note("x")));
    producer.send_all(sends).await;
    sleep(SECOND * 10).await;
    assert_eq!(count(&diary, "quick"), 100);
    sleep(MINUTE * 3).await;
    assert_eq!(most.load(Ordering::Relaxed), 2);
    let slow = count(&diary, "slow");
    assert!((5..=6).contains(&slow), "{slow} in 3 minutes");
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_suspect_waits_for_others_for_a_while_only() {
    let transport = Whole::default();
    let diary = Diary::default();
    let kser = kser::Client::builder(transport.clone())
        .build()
        .await
        .unwrap();
    let consumer = kser.consumer(timed(&diary)).spawn();
    let long = MINUTE * 50;
    transport.put(record(&format!("long {}", long.as_millis()), None), 0);
    sleep(SECOND).await;
    for index in 0..3 {
        transport.put(record(&format!("suspect{index} 10"), Some("k")), 2);
    }
    transport.put(record("behind 10", Some("k")), 0);
    sleep(SECOND).await;
    for _ in 0..10 {
        transport.put(record("quick 10", None), 0);
    }
    sleep(MINUTE).await;
    assert_eq!(count(&diary, "quick"), 10);
    assert_eq!(count(&diary, "suspect"), 0);
    sleep(MINUTE * 60).await;
    let done = diary.read();
    assert_eq!(
        done[10..],
        ["long", "suspect0", "suspect1", "suspect2", "behind"]
    );
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_suspect_that_runs_for_long_shares_its_places() {
    let transport = Whole::default();
    let diary = Diary::default();
    let kser = kser::Client::builder(transport.clone())
        .build()
        .await
        .unwrap();
    let consumer = kser.consumer(timed(&diary)).spawn();
    transport.put(record("suspect 1800000", None), 2);
    sleep(SECOND).await;
    transport.put(record("quick 10", None), 0);
    sleep(SECOND * 30).await;
    assert_eq!(count(&diary, "quick"), 0, "it runs alone at first");
    sleep(MINUTE).await;
    assert_eq!(count(&diary, "quick"), 1);
    sleep(MINUTE * 30).await;
    assert_eq!(diary.read(), ["quick", "suspect"]);
    assert!(transport.others().is_empty());
    consumer.stop().await.unwrap();
}

/// Its wait ends while its places are taken back, one after the other.
#[tokio::test(start_paused = true)]
async fn a_wait_for_a_run_that_is_given_up_costs_no_place() {
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let waiting = {
        let (kser, diary) = (kser.clone(), diary.clone());
        move |ctx: Context, _: Doomed| {
            let (kser, diary) = (kser.clone(), diary.clone());
            async move {
                let step = Step::named("outside.Ask", &serde_json::json!({}));
                let steps = vec![step.external(MINUTE * 10)];
                let launch = kser.producer().launch_steps("test.Child", steps);
                let run = launch.with_id("child").await?;
                let waited = tokio::time::timeout(SECOND * 5, ctx.result_of(run.id())).await;
                diary.note(format!("parent {}", waited.is_ok()));
                Ok::<_, TaskError>(())
            }
        }
    };
    let registry = timed(&diary).into_builder().task(waiting).build().unwrap();
    let consumer = kser.consumer(registry).with_concurrency(1);
    let consumer = consumer.with_concurrency_of::<Doomed>(1).spawn();
    kser.producer().send(Doomed {}).await.unwrap();
    sleep(SECOND).await;
    // It has the place that is lent when the run ends.
    kser.producer().send(note("long 60000")).await.unwrap();
    sleep(SECOND).await;
    let child = kser::run::RunId::from("child");
    let step = child.step(1);
    let reported = kser
        .runs()
        .report(&child, &step, Outcome::text("yes"))
        .await;
    reported.unwrap();
    sleep(MINUTE * 2).await;
    assert_eq!(diary.read(), ["parent false", "long"]);
    // The entrypoint has its place again; the run has ended.
    kser.producer().send(Doomed {}).await.unwrap();
    sleep(MINUTE).await;
    assert_eq!(diary.read()[2..], ["parent true"]);
    consumer.stop().await.unwrap();
}

/// One place for all: a handler that waits for a run gives it back.
#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_for_a_run_gives_its_place_back() {
    for mode in [Mode::Stored, Mode::AtLeastOnce] {
        let kser = client(mode).await;
        let diary = Diary::default();
        let launching = {
            let (kser, diary) = (kser.clone(), diary.clone());
            move |ctx: Context, _: Doomed| {
                let (kser, diary) = (kser.clone(), diary.clone());
                async move {
                    let steps = vec![Step::new(note("child 10"))];
                    let run = kser.producer().launch_steps("test.Child", steps).await?;
                    let outcome = ctx.result_of(run.id()).await?;
                    diary.note("parent");
                    Ok::<_, TaskError>(outcome)
                }
            }
        };
        let registry = timed(&diary)
            .into_builder()
            .task(launching)
            .build()
            .unwrap();
        let consumer = kser.consumer(registry).with_concurrency(1);
        let consumer = consumer.with_concurrency_of::<Doomed>(1).spawn();
        for _ in 0..3 {
            kser.producer().send(Doomed {}).await.unwrap();
        }
        sleep(SECOND * 5).await;
        assert_eq!(count(&diary, "child"), 3, "{mode:?}");
        assert_eq!(count(&diary, "parent"), 3, "{mode:?}");
        // All places are there again, and no more.
        for _ in 0..4 {
            kser.producer().send(note("one 1000")).await.unwrap();
        }
        sleep(Duration::from_millis(3500)).await;
        assert_eq!(count(&diary, "one"), 3, "{mode:?}");
        consumer.stop().await.unwrap();
    }
}
