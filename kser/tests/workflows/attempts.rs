//! How attempts end, and what is known of them afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Diary, Game, Note, both, note, noting};
use crate::faulty::{Deaf, Loss};
use kser::backend::StateStore;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::{Context, Error, IntoTask, Registry, RetryPolicy, Status, Step, Task, TaskError};
use tokio::time::sleep;

/// Makes a client over a store that counts its calls.
async fn counted() -> Result<(kser::Client, Deaf), Error> {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let store = Deaf::new(MemoryStore::with_clock(clock));
    let client = kser::Client::builder(transport).store(store.clone());
    Ok((client.clock(clock).build().await?, store))
}

/// A task that takes too long, and notes what it is told of that.
struct Slow(Diary);

impl Task for Slow {
    type Params = Note;
    type Output = ();

    async fn run(&self, _: &Context, _: Note) -> Result<(), TaskError> {
        sleep(Duration::from_secs(3_600)).await;
        Ok(())
    }

    async fn on_error(&self, _: &Context, error: &TaskError) {
        self.0.note(format!("{} {}", error.code(), error.name()));
        sleep(Duration::from_secs(3_600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_is_told_that_it_took_too_long() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let task = Slow(diary.clone()).with_retry(RetryPolicy::never());
        let task = task.with_time_limit(Duration::from_secs(5));
        let consumer = kser.consumer(Registry::new().task(task).build()?).spawn();
        let steps = vec![Step::new(note("x"))];
        let run = kser.producer().launch_steps("test.Run", steps).await?;
        let state = run.wait_timeout(Duration::from_secs(20)).await?;
        assert_eq!((state.status, state.outcome.code()), (Status::Failed, 408));
        assert_eq!(diary.read(), ["408 TimeLimit"]);
        consumer.stop().await?;
    }
    Ok(())
}

/// The policy counts from the first failure on, also in the next life of a consumer.
#[tokio::test(start_paused = true)]
async fn the_total_of_a_retry_policy_goes_on_after_a_stop() -> Result<(), Error> {
    for (kser, is_stored) in both().await.into_iter().zip([true, false]) {
        let tries = Arc::new(AtomicUsize::new(0));
        let tried = Arc::clone(&tries);
        let task = move |_: Note| {
            tried.fetch_add(1, Ordering::SeqCst);
            async { Err::<(), _>(TaskError::new("Always", "no")) }
        };
        let five = Duration::from_secs(5);
        let policy = RetryPolicy::exponential(100, five).max_delay(five);
        let task = task.with_retry(policy.max_elapsed(Duration::from_secs(22)));
        let registry = Registry::new().task(task).build()?;
        let steps = vec![Step::new(note("x"))];
        let run = kser.producer().launch_steps("test.Run", steps).await?;
        if is_stored {
            let consumer = kser.consumer(registry.clone()).spawn();
            sleep(Duration::from_secs(7)).await;
            consumer.stop().await?;
        }
        let consumer = kser.consumer(registry).spawn();
        let state = run.wait_timeout(Duration::from_secs(300)).await?;
        assert_eq!(state.status, Status::Failed);
        assert_eq!(tries.load(Ordering::SeqCst), 5);
        consumer.stop().await?;
    }
    Ok(())
}

/// Its consumer is gone in the middle of it: the history names it, with the consumer that ran it.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_lost_has_its_row() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let store = Arc::new(MemoryStore::with_clock(clock));
    let kser = kser::Client::builder(transport)
        .store(Arc::clone(&store))
        .clock(clock)
        .build()
        .await?;
    let hangs = |_: Note| std::future::pending::<()>();
    let first = kser
        .consumer(Registry::new().task(hangs).build()?)
        .with_instance("first")
        .spawn();
    let steps = vec![Step::new(note("x"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    sleep(Duration::from_secs(1)).await;
    first.kill();
    let consumer = kser
        .consumer(noting(&Diary::default()))
        .with_instance("second")
        .spawn();
    run.result().await?;
    let rows = store.attempts(run.id(), None, 10).await?.rows;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.position, row.status, row.worker.as_str()))
        .collect();
    assert_eq!(
        rows,
        [(1, Status::Failed, "first"), (1, Status::Success, "second")]
    );
    consumer.stop().await
}

/// The records die with each process, so that only a sweep goes on with the run: its record tells that an attempt had begun.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_a_sweep_finds_is_counted_as_a_crash() -> Result<(), Error> {
    let clock = MemoryTransport::new().clock();
    let store = Arc::new(MemoryStore::with_clock(clock));
    let process = || {
        let builder = kser::Client::builder(MemoryTransport::new());
        builder.store(Arc::clone(&store)).clock(clock).build()
    };
    let begun = Arc::new(AtomicUsize::new(0));
    let registry = || {
        let begun = Arc::clone(&begun);
        Registry::new().task(move |_: Note| {
            begun.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>()
        })
    };
    let steps = vec![Step::new(note("x"))];
    let run = process().await?.producer().launch_steps("test.Run", steps);
    let run = run.await?;
    for crashes in 1..=3 {
        let kser = process().await?;
        let consumer = kser.consumer(registry().build()?).spawn();
        while begun.load(Ordering::SeqCst) < crashes {
            sleep(Duration::from_secs(1)).await;
        }
        consumer.kill();
    }
    let kser = process().await?;
    let consumer = kser.consumer(registry().build()?).spawn();
    let state = kser.runs().wait(run.id()).await?;
    assert_eq!(begun.load(Ordering::SeqCst), 3, "{state:?}");
    assert_eq!(state.status, Status::Failed);
    let error = state.outcome.error().unwrap();
    assert_eq!(error.name(), "Killed");
    consumer.stop().await
}

/// The next delivery ends the attempt, so that the store can forget the run.
#[tokio::test(start_paused = true)]
async fn a_lost_attempt_of_a_cancelled_run_has_its_row_too() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let store = Arc::new(MemoryStore::with_clock(clock));
    let kser = kser::Client::builder(transport)
        .store(Arc::clone(&store))
        .clock(clock)
        .build()
        .await?;
    let registry = || Registry::new().task(|_: Note| std::future::pending::<()>());
    let first = kser
        .consumer(registry().build()?)
        .with_instance("first")
        .spawn();
    let steps = vec![Step::new(note("x"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    sleep(Duration::from_secs(1)).await;
    first.kill();
    run.cancel().await?;
    let consumer = kser
        .consumer(registry().build()?)
        .with_instance("second")
        .spawn();
    // Longer than the lease of the first consumer.
    sleep(Duration::from_secs(60)).await;
    let stored = store.read(run.id()).await?.value.into_progress().unwrap();
    assert_eq!(stored.status(), Status::Cancelled);
    assert!(!stored.is_started(), "{stored:?}");
    let rows = store.attempts(run.id(), None, 10).await?.rows;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.position, row.status, row.worker.as_str()))
        .collect();
    assert_eq!(rows, [(1, Status::Failed, "first")]);
    consumer.stop().await
}

/// The store wakes who waits for a run for no reason: that is no reason to write.
#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_when_it_is_due_and_not_when_the_store_wakes() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let store = Deaf::new(MemoryStore::with_clock(clock));
    store.lose(Loss::Wakes);
    let kser = kser::Client::builder(transport)
        .store(store.clone())
        .clock(clock)
        .build()
        .await?;
    let minute = |_: Note| sleep(Duration::from_secs(60));
    let consumer = kser.consumer(Registry::new().task(minute).build()?).spawn();
    let steps = vec![Step::new(note("x"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    run.result().await?;
    // Its start, its end, and one each ten seconds.
    let writes = store.writes();
    assert!((6..=9).contains(&writes), "{writes} writes");
    consumer.stop().await
}

/// A launch marks no outputs that the store does not keep, a wait reads nothing before the end, and the start of a step is one
/// write with the end of the one before it.
#[tokio::test(start_paused = true)]
async fn an_operation_of_three_steps_is_eight_calls_of_its_store() -> Result<(), Error> {
    let (kser, store) = counted().await?;
    let game = |_: Game| async { Ok::<_, TaskError>(vec![Step::new(note("x")); 3]) };
    let registry = Registry::new().operation(game).task(|_: Note| async {});
    let consumer = kser.consumer(registry.build()?).spawn();
    let game = Game { notes: Vec::new() };
    kser.producer().launch(game).await?.result().await?;
    // The insert, the wait for the end, start and end of the build, the start of the first step, and the end of each step.
    assert_eq!(store.calls(), 8);
    consumer.stop().await
}

/// A retry in hand starts from the state that the failure has written: each attempt is two swaps, and none conflicts.
#[tokio::test(start_paused = true)]
async fn a_stored_retry_in_hand_asks_for_no_swap_in_vain() -> Result<(), Error> {
    let (kser, store) = counted().await?;
    let tries = Arc::new(AtomicUsize::new(0));
    let tried = Arc::clone(&tries);
    let task = move |_: Note| {
        let failed = tried.fetch_add(1, Ordering::SeqCst);
        async move {
            match failed {
                0..3 => Err(TaskError::new("NotYet", "later")),
                _ => Ok(()),
            }
        }
    };
    let policy = RetryPolicy::exponential(10, Duration::from_millis(10));
    let registry = Registry::new().task(task.with_retry(policy)).build()?;
    let consumer = kser.consumer(registry).spawn();
    let steps = vec![Step::new(note("x"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    run.result().await?;
    assert_eq!(tries.load(Ordering::SeqCst), 4);
    assert_eq!(store.writes(), 8);
    consumer.stop().await
}
