//! Steps that one consumer runs one after the other begin without records of their own, and a crash in the middle loses nothing.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kser::backend::{Interest, Room, StateStore, Subscription, Transport as _};
use kser::consumer::RunningConsumer;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::{Message, Topic};
use kser::run::RunId;
use kser::{Client, Context, Error, IntoTask, Registry, RetryPolicy, Run, Status, Step, TaskError};
use tokio::time::{sleep, timeout};

use crate::common::{Diary, Note, note};
use crate::faulty::Deaf;

struct Setup {
    kser: Client,
    store: Deaf,
    /// Sees each record of the steps.
    records: Box<dyn Subscription>,
    diary: Diary,
}

async fn setup() -> Setup {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let store = Deaf::new(MemoryStore::with_clock(clock));
    let all = Interest::everything(vec![Topic::new("test").unwrap()]);
    let records = transport.subscribe(all).await.unwrap();
    let builder = Client::builder(transport).store(store.clone()).clock(clock);
    Setup {
        kser: builder.build().await.unwrap(),
        store,
        records,
        diary: Diary::default(),
    }
}

/// What the task of the steps does for some notes; others it only notes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum For {
    /// Hangs until the process dies.
    Hang(&'static str),
    /// Takes a minute.
    Slow(&'static str),
    /// Fails so many times.
    Fail(&'static str, usize),
    /// Sends a note.
    Send(&'static str),
    Nothing,
}

impl Setup {
    fn consumer(&self, name: &str, what: For) -> RunningConsumer {
        let registry = registry(&self.diary, what);
        self.kser.consumer(registry).with_instance(name).spawn()
    }

    /// The texts of the records of steps so far.
    async fn published(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while let Ok(taken) =
            timeout(Duration::ZERO, self.records.receive(Room::records(100))).await
        {
            for delivery in taken.unwrap() {
                let message = Message::decode(delivery.record.payload.as_ref().unwrap()).unwrap();
                let note: Note = message.params.parse().unwrap();
                texts.push(note.text);
                let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
            }
        }
        texts
    }
}

async fn launch(kser: &Client, texts: &[&str]) -> Run {
    let steps = texts.iter().map(|text| Step::new(note(text))).collect();
    let launch = kser.producer().launch_steps("test.Run", steps);
    launch.await.unwrap()
}

async fn until(diary: &Diary, text: &str) {
    while diary.read().last().is_none_or(|last| last != text) {
        sleep(Duration::from_millis(1)).await;
    }
}

/// The attempts of a run: position, number, and whether it succeeded.
async fn attempts(store: &Deaf, id: &RunId) -> Vec<(u32, u32, bool)> {
    let rows = store.attempts(id, None, 100).await.unwrap().rows;
    let row = |row: &kser::run::Attempt| (row.position, row.attempt, row.outcome.is_success());
    rows.iter().map(row).collect()
}

fn registry(diary: &Diary, what: For) -> Registry {
    let (diary, failed) = (diary.clone(), Arc::new(AtomicUsize::new(0)));
    let task = move |ctx: Context, note: Note| {
        let (diary, failed) = (diary.clone(), Arc::clone(&failed));
        async move {
            let text = note.text.as_str();
            diary.note(text);
            match what {
                For::Hang(wanted) if wanted == text => std::future::pending().await,
                For::Slow(wanted) if wanted == text => sleep(Duration::from_secs(60)).await,
                For::Fail(wanted, times)
                    if wanted == text && failed.fetch_add(1, Ordering::SeqCst) < times =>
                {
                    return Err(TaskError::new("No", "not yet"));
                }
                For::Send(wanted) if wanted == text => {
                    ctx.send(self::note("sent"))?;
                }
                _ => {}
            }
            Ok(note.text)
        }
    };
    let policy = RetryPolicy::exponential(2, Duration::from_secs(1));
    let registry = Registry::new().task(task.into_task().with_retry(policy));
    registry.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_step_costs_one_write_and_no_record() -> Result<(), Error> {
    let mut setup = setup().await;
    let texts: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let run = launch(&setup.kser, &texts).await;
    let launched = setup.store.writes();
    let consumer = setup.consumer("one", For::Nothing);
    run.result().await?;
    assert_eq!(
        setup.store.writes() - launched,
        41,
        "the first start, and each end"
    );
    assert_eq!(setup.published().await, ["0"]);
    assert_eq!(setup.diary.read(), texts);
    let attempts = attempts(&setup.store, run.id()).await;
    let expected: Vec<_> = (1..=40).map(|position| (position, 1, true)).collect();
    assert_eq!(attempts, expected);
    consumer.stop().await
}

/// So that other deliveries have their turn.
#[tokio::test(start_paused = true)]
async fn a_long_operation_is_published_now_and_then() -> Result<(), Error> {
    let mut setup = setup().await;
    let run = launch(&setup.kser, &["x"; 200]).await;
    let consumer = setup.consumer("one", For::Nothing);
    run.result().await?;
    let published = setup.published().await.len();
    assert!((2..=8).contains(&published), "{published} records");
    assert_eq!(setup.diary.read().len(), 200);
    consumer.stop().await
}

/// The record of the first step wakes the next life of the instance.
#[tokio::test(start_paused = true)]
async fn a_crash_in_a_later_step_goes_on_at_once() -> Result<(), Error> {
    let mut setup = setup().await;
    let run = launch(&setup.kser, &["a", "b", "c", "d"]).await;
    let first = setup.consumer("one", For::Hang("c"));
    until(&setup.diary, "c").await;
    first.kill();
    let second = setup.consumer("one", For::Nothing);
    timeout(Duration::from_secs(1), run.result())
        .await
        .unwrap()?;
    assert_eq!(setup.diary.read(), ["a", "b", "c", "c", "d"]);
    let attempts = attempts(&setup.store, run.id()).await;
    assert_eq!(
        attempts,
        [
            (1, 1, true),
            (2, 1, true),
            (3, 1, false),
            (3, 1, true),
            (4, 1, true)
        ]
    );
    let published = setup.published().await;
    assert_eq!(published, ["a", "c"], "the first is redelivered");
    second.stop().await
}

/// The record of the first step waits for the end of the lease.
#[tokio::test(start_paused = true)]
async fn a_crash_in_a_later_step_goes_on_elsewhere_after_the_lease() -> Result<(), Error> {
    let setup = setup().await;
    let run = launch(&setup.kser, &["a", "b", "c"]).await;
    let first = setup.consumer("one", For::Hang("b"));
    until(&setup.diary, "b").await;
    first.kill();
    let second = setup.consumer("two", For::Nothing);
    timeout(Duration::from_secs(60), run.result())
        .await
        .unwrap()?;
    assert_eq!(setup.diary.read(), ["a", "b", "b", "c"]);
    second.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_later_step_that_kills_its_process_fails_its_run() -> Result<(), Error> {
    let setup = setup().await;
    let run = launch(&setup.kser, &["a", "b", "c"]).await;
    for crashes in 1..=3 {
        let consumer = setup.consumer("one", For::Hang("b"));
        while setup.diary.read().len() < 1 + crashes {
            sleep(Duration::from_millis(1)).await;
        }
        consumer.kill();
    }
    let consumer = setup.consumer("one", For::Hang("b"));
    let state = run.wait_timeout(Duration::from_secs(60)).await?;
    assert_eq!(state.status, Status::Failed);
    assert_eq!(setup.diary.read(), ["a", "b", "b", "b"]);
    let mut letters = setup.kser.dead_letters("test").await?;
    let letter = letters.next().await?;
    assert_eq!(letter.message()?.params, note_params("b"));
    letter.keep();
    consumer.stop().await
}

fn note_params(text: &str) -> kser::message::Object {
    kser::message::Object::new(&note(text)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_later_step_is_tried_again_and_its_letter_is_its_own() -> Result<(), Error> {
    let setup = setup().await;
    let run = launch(&setup.kser, &["a", "b", "c"]).await;
    let consumer = setup.consumer("one", For::Fail("b", 2));
    let state = run.wait_timeout(Duration::from_secs(60)).await?;
    assert_eq!(state.status, Status::Failed);
    assert_eq!(setup.diary.read(), ["a", "b", "b"]);
    let attempts = attempts(&setup.store, run.id()).await;
    assert_eq!(attempts, [(1, 1, true), (2, 1, false), (2, 2, false)]);
    let mut letters = setup.kser.dead_letters("test").await?;
    let letter = letters.next().await?;
    assert_eq!(letter.message()?.params, note_params("b"));
    letter.replay().await?;
    run.result().await?;
    assert_eq!(setup.diary.read(), ["a", "b", "b", "b", "c"]);
    consumer.stop().await
}

/// No step begins in a row after a request to stop: the record of the next one is published.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_to_stop_begins_no_further_step() -> Result<(), Error> {
    let mut setup = setup().await;
    let run = launch(&setup.kser, &["a", "b", "c"]).await;
    let first = setup.consumer("one", For::Slow("b"));
    until(&setup.diary, "b").await;
    first.stop().await?;
    let (done, published) = (setup.diary.read(), setup.published().await);
    assert_eq!(done.first().unwrap(), "a");
    assert!(!done.contains(&"c".to_owned()), "{done:?}");
    let second = setup.consumer("two", For::Nothing);
    timeout(Duration::from_secs(2), run.result())
        .await
        .unwrap()?;
    assert!(published.len() <= 2, "{published:?}");
    second.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_paused_begins_no_further_step() -> Result<(), Error> {
    let setup = setup().await;
    let run = launch(&setup.kser, &["a", "b", "c"]).await;
    let consumer = setup.consumer("one", For::Slow("b"));
    until(&setup.diary, "b").await;
    consumer.handle().pause();
    sleep(Duration::from_secs(120)).await;
    assert_eq!(setup.diary.read(), ["a", "b"]);
    consumer.handle().resume();
    run.result().await?;
    assert_eq!(setup.diary.read(), ["a", "b", "c"]);
    consumer.stop().await
}

/// A message that a handler sends does not wait for the steps behind it.
#[tokio::test(start_paused = true)]
async fn a_step_that_sends_publishes_at_its_end() -> Result<(), Error> {
    let mut setup = setup().await;
    let run = launch(&setup.kser, &["a", "b", "c", "d"]).await;
    let consumer = setup.consumer("one", For::Send("b"));
    run.result().await?;
    sleep(Duration::from_secs(1)).await;
    let mut published = setup.published().await;
    published.sort();
    assert_eq!(published, ["a", "c", "sent"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_in_a_later_step_begins_no_other() -> Result<(), Error> {
    let setup = setup().await;
    let run = launch(&setup.kser, &["a", "b", "c"]).await;
    let consumer = setup.consumer("one", For::Slow("b"));
    until(&setup.diary, "b").await;
    run.cancel().await?;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(run.status().await?.status, Status::Cancelled);
    assert_eq!(setup.diary.read(), ["a", "b"]);
    consumer.stop().await
}
