//! The promises, a test for each cell that the memory transport can show. Consumers die at any moment: a consumer that is
//! dropped leaves its deliveries as a crash does.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Diary, Note, both, client, note};
use kser::client::Mode;
use kser::run::RunId;
use kser::{Client, Context, Error, Registry, Status, Step};
use proptest::prelude::*;
use tokio::time::sleep;

/// A task that takes a while, and notes each run with its key.
fn slow(diary: &Diary) -> Registry {
    let diary = diary.clone();
    let slow = move |ctx: Context, note: Note| {
        let diary = diary.clone();
        async move {
            diary.note(ctx.idempotency_key());
            sleep(Duration::from_millis(40)).await;
            note.text
        }
    };
    Registry::new().task(slow).build().unwrap()
}

/// Launches runs of three steps, lets consumers live and die after so many milliseconds each, and then one that lives.
async fn troubled(kser: &Client, diary: &Diary, lives: &[u64], lease: Duration) -> Vec<RunId> {
    let mut runs = Vec::new();
    for number in 0..4 {
        let steps = (1..=3).map(|step| Step::new(note(&format!("{number}.{step}"))));
        let launch = kser.producer().launch_steps("test.Run", steps.collect());
        runs.push(launch.with_id(format!("run-{number}")).await.unwrap());
    }
    for life in lives {
        let consumer = kser
            .consumer(slow(diary))
            .with_lease_duration(lease)
            .spawn();
        sleep(Duration::from_millis(*life)).await;
        consumer.kill();
    }
    let consumer = kser
        .consumer(slow(diary))
        .with_lease_duration(lease)
        .spawn();
    for run in &runs {
        let limit = Duration::from_secs(600);
        let state = run.wait_timeout(limit).await.unwrap();
        assert_eq!(state.status, Status::Success, "{:?}", state.outcome);
        assert_eq!(state.outcome.message().split('.').nth(1), Some("3"));
    }
    consumer.stop().await.unwrap();
    runs.iter().map(|run| run.id().clone()).collect()
}

/// How often each step ran.
fn runs_of_steps(diary: &Diary) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for key in diary.read() {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Row M and S, next step, result, status: exactly once, whenever consumers die; the task function at least once.
    #[test]
    fn stored_each_step_is_accepted_once(lives in prop::collection::vec(0_u64..90, 0..3)) {
        on_paused_time(async {
            let (kser, diary) = (client(Mode::Stored).await, Diary::default());
            let runs = troubled(&kser, &diary, &lives, Duration::from_secs(5)).await;
            for run in runs {
                let attempts = kser.runs().all_attempts(&run).await.unwrap();
                let accepted = attempts.iter().filter(|attempt| attempt.status == Status::Success);
                let positions: Vec<_> = accepted.map(|attempt| attempt.position).collect();
                assert_eq!(positions, [1, 2, 3]);
                let outcomes = kser.runs().outcomes(&run).await.unwrap();
                assert_eq!(outcomes.len(), 3);
            }
            let counts = runs_of_steps(&diary);
            assert_eq!(counts.len(), 12, "every step ran");
            assert!(counts.values().all(|count| *count <= 1 + lives.len()), "{counts:?}");
        });
    }

    /// Carried, on a transport that settles together: nothing is lost, and a step runs again only if its attempt was cut.
    #[test]
    fn carried_nothing_is_lost(lives in prop::collection::vec(0_u64..90, 0..3)) {
        on_paused_time(async {
            let (kser, diary) = (client(Mode::AtLeastOnce).await, Diary::default());
            troubled(&kser, &diary, &lives, Duration::from_secs(5)).await;
            let counts = runs_of_steps(&diary);
            assert_eq!(counts.len(), 12, "every step ran");
            let again: usize = counts.values().map(|count| count - 1).sum();
            assert!(again <= 4 * lives.len(), "{again} of 4 in flight ran again");
        });
    }
}

fn on_paused_time(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build();
    runtime.unwrap().block_on(test);
}

/// Row M, the task function itself: once an attempt.
#[tokio::test(start_paused = true)]
async fn without_crashes_each_task_runs_once() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        troubled(&kser, &diary, &[], Duration::from_secs(5)).await;
        assert!(runs_of_steps(&diary).values().all(|count| *count == 1));
    }
    Ok(())
}

/// Nobody else takes a step while its lease lives, however long the handler takes.
#[tokio::test(start_paused = true)]
async fn a_lease_is_kept_while_the_handler_runs() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let long = move |_: Note| {
        count.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(1000))
    };
    let registry = Registry::new().task(long).build()?;
    let lease = Duration::from_secs(30);
    let one = kser
        .consumer(registry.clone())
        .with_lease_duration(lease)
        .spawn();
    let other = kser.consumer(registry).with_lease_duration(lease).spawn();
    let run = kser
        .producer()
        .launch_steps("test.Long", vec![Step::new(note("x"))])
        .await?;
    run.result().await?;
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    one.stop().await?;
    other.stop().await
}

/// What was published before a crash of its writer's wake-up moves again by itself: the sweep.
#[tokio::test(start_paused = true)]
async fn a_run_whose_message_is_lost_is_published_again() -> Result<(), Error> {
    let lost = kser::memory::MemoryTransport::new();
    let transport = kser::memory::MemoryTransport::new();
    let store = kser::memory::MemoryStore::with_clock(transport.clock());
    let nowhere = Client::builder(lost)
        .store(store.clone())
        .clock(transport.clock())
        .build()
        .await?;
    let run = nowhere
        .producer()
        .launch_steps("test.Lost", vec![Step::new(note("x"))])
        .await?;
    let kser = Client::builder(transport.clone())
        .store(store)
        .build()
        .await?;
    let diary = Diary::default();
    let consumer = kser.consumer(slow(&diary)).spawn();
    let state = kser.runs().wait(run.id()).await?;
    assert_eq!(state.status, Status::Success);
    assert_eq!(diary.read().len(), 1);
    consumer.stop().await
}

/// A long operation takes about linear time, and its messages do not grow.
#[tokio::test(start_paused = true)]
async fn ten_thousand_steps_are_only_more_of_the_same() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let quick = |note: Note| async move { note.text };
    let consumer = kser.consumer(Registry::new().task(quick).build()?).spawn();
    let steps = vec![Step::new(note("x")); 10_000];
    let run = kser.producer().launch_steps("test.Long", steps).await?;
    assert_eq!(run.result().await?.message(), "x");
    assert_eq!(run.outcomes().await?.len(), 10_000);
    consumer.stop().await
}
