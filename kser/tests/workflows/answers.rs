//! Answers of the store and of the brokers that get lost, and futures that are dropped: what was written is known, and what
//! follows from it goes out.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{self, Diary, Note, note, noting};
use crate::faulty::{Deaf, Fault, Faulty, Loss};
use kser::backend::{Interest, Room, StateStore as _, Transport as _};
use kser::client::Mode;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::Topic;
use kser::operation::StatusChange;
use kser::run::RunEvent;
use kser::{Client, Context, Error, Operation, Outcome, Registry, Status, Step, TaskError};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

async fn fragile() -> (Faulty, Deaf, Client) {
    let transport = Faulty::new(MemoryTransport::new());
    let clock = transport.clock();
    let store = Deaf::new(MemoryStore::with_clock(clock));
    let kser = Client::builder(transport.clone())
        .store(store.clone())
        .clock(clock)
        .build()
        .await;
    (transport, store, kser.unwrap())
}

fn steps(count: usize) -> Vec<Step> {
    (0..count).map(|_| Step::new(note("a"))).collect()
}

/// Collects the statuses that the events of a run tell.
async fn statuses(transport: &Faulty) -> Diary {
    let events = Interest::everything(vec![Topic::new("kser.events").unwrap()]);
    let mut events = transport.subscribe(events).await.unwrap();
    let diary = Diary::default();
    let seen = diary.clone();
    tokio::spawn(async move {
        while let Ok(deliveries) = events.receive(Room::records(100)).await {
            for delivery in deliveries {
                let payload = delivery.record.payload.as_deref().unwrap_or_default();
                seen.note(RunEvent::decode(payload).unwrap().status.to_string());
                let _ = delivery.ticket.settle(Vec::new()).await;
            }
        }
    });
    diary
}

/// Every third write is done and not answered: starts, ends, builds.
#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_known_within_a_second_and_is_no_crash() {
    for every in [1, 2, 3] {
        let (_, store, kser) = fragile().await;
        let diary = Diary::default();
        let consumer = kser.consumer(noting(&diary)).spawn();
        store.lose(Loss::SwapAnswers { every });
        let began = Instant::now();
        let run = kser.producer().launch_steps("test.Run", steps(4)).await;
        let state = run.as_ref().unwrap().wait_timeout(HOUR).await.unwrap();
        assert_eq!(state.status, Status::Success);
        assert!(began.elapsed() < 8 * SECOND, "{:?}", began.elapsed());
        assert_eq!(diary.read(), ["a"; 4], "each step ran once");
        let run = run.unwrap();
        let attempts = kser.runs().all_attempts(run.id()).await.unwrap();
        assert_eq!(attempts.len(), 4, "{attempts:?}");
        assert!(attempts.iter().all(|attempt| attempt.attempt == 1));
        consumer.stop().await.unwrap();
    }
}

/// Longer than the consumer repeats a write at once: it knows its own start when the store is back.
#[tokio::test(start_paused = true)]
async fn a_start_is_known_after_an_outage_that_began_with_its_answer() {
    let (_, store, kser) = fragile().await;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    store.lose(Loss::SwapAnswersAndThenAll);
    let run = kser.producer().launch_steps("test.Run", steps(1)).await;
    sleep(5 * SECOND).await;
    store.lose(Loss::Nothing);
    let began = Instant::now();
    let run = run.unwrap();
    let state = run.wait_timeout(HOUR).await.unwrap();
    assert_eq!(state.status, Status::Success);
    assert!(began.elapsed() < 11 * SECOND, "{:?}", began.elapsed());
    let attempts = kser.runs().all_attempts(run.id()).await.unwrap();
    assert_eq!(attempts[0].attempt, 1);
    consumer.stop().await.unwrap();
}

/// The message tells an older version than the one that the lost write was based on.
#[tokio::test(start_paused = true)]
async fn a_start_is_known_after_an_outage_also_when_the_message_is_older() {
    let (_, store, kser) = fragile().await;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    store.lose(Loss::NudgeAndThenSwapAnswers);
    let run = kser.producer().launch_steps("test.Run", steps(1)).await;
    sleep(5 * SECOND).await;
    assert!(diary.read().is_empty());
    store.lose(Loss::Nothing);
    let began = Instant::now();
    let run = run.unwrap();
    let state = run.wait_timeout(HOUR).await.unwrap();
    assert_eq!(state.status, Status::Success);
    assert!(began.elapsed() < 11 * SECOND, "{:?}", began.elapsed());
    assert_eq!(diary.read(), ["a"]);
    let attempts = kser.runs().all_attempts(run.id()).await.unwrap();
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert_eq!(attempts[0].attempt, 1);
    consumer.stop().await.unwrap();
}

/// Only the member that wrote a start can know it: another member cannot tell it from one that runs, and waits for its lease.
#[tokio::test(start_paused = true)]
async fn a_start_of_a_member_that_is_gone_is_taken_over_after_its_lease() {
    let (_, store, kser) = fragile().await;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    store.lose(Loss::SwapAnswersAndThenAll);
    let run = kser.producer().launch_steps("test.Run", steps(1)).await;
    sleep(5 * SECOND).await;
    consumer.kill();
    store.lose(Loss::Nothing);
    let consumer = kser.consumer(noting(&diary)).spawn();
    let began = Instant::now();
    let state = run.unwrap().wait_timeout(HOUR).await.unwrap();
    assert_eq!(state.status, Status::Success);
    assert_eq!(diary.read(), ["a"]);
    // It waits for the rest of the 30 s, and looks every ten.
    let waited = began.elapsed();
    assert!(waited > 20 * SECOND && waited < 41 * SECOND, "{waited:?}");
    consumer.stop().await.unwrap();
}

/// The lease is renewed just before the end is written, and nothing can be read after it: the answer to the write that was in
/// conflict has all that the next one needs.
#[tokio::test(start_paused = true)]
async fn an_end_is_written_after_a_conflict_without_a_read() {
    let (_, store, kser) = fragile().await;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    store.lose(Loss::RenewalAndThenReads);
    let run = kser.producer().launch_steps("test.Run", steps(2)).await;
    let run = run.unwrap();
    sleep(5 * SECOND).await;
    assert_eq!(diary.read(), ["a"; 2]);
    store.lose(Loss::Nothing);
    let state = run.wait_timeout(HOUR).await.unwrap();
    assert_eq!(state.status, Status::Success);
    assert_eq!(diary.read(), ["a"; 2], "each step ran once");
    let attempts = kser.runs().all_attempts(run.id()).await.unwrap();
    assert!(attempts.iter().all(|attempt| attempt.attempt == 1));
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_verb_whose_answer_is_lost_is_done_once() {
    let (transport, store, kser) = fragile().await;
    let told = statuses(&transport).await;
    let run = kser.producer().launch_steps("test.Run", steps(1)).await;
    let run = run.unwrap();
    store.lose(Loss::SwapAnswers { every: 2 });
    run.cancel().await.unwrap();
    store.lose(Loss::Nothing);
    sleep(HOUR).await;
    assert_eq!(told.read(), ["RUNNING", "CANCELLED"]);
}

/// The caller does not wait until the brokers answer, or its process dies.
#[tokio::test(start_paused = true)]
async fn the_event_of_a_verb_that_was_dropped_is_told() {
    let (transport, _, kser) = fragile().await;
    let told = statuses(&transport).await;
    let diary = Diary::default();
    let run = kser.producer().launch_steps("test.Run", steps(1)).await;
    let run = run.unwrap();
    transport.fail(Fault::Silence);
    let _ = tokio::time::timeout(SECOND, run.cancel()).await;
    assert_eq!(run.status().await.unwrap().status, Status::Cancelled);
    transport.heal();
    let consumer = kser.consumer(noting(&diary)).spawn();
    sleep(HOUR).await;
    assert_eq!(told.read(), ["RUNNING", "CANCELLED"]);
    assert!(diary.read().is_empty());
    consumer.stop().await.unwrap();
}

/// The events of a launch are kept like those of a verb; the launch itself is acknowledged.
#[tokio::test(start_paused = true)]
async fn a_launch_is_done_once_its_own_record_is_acknowledged() {
    let (transport, _, kser) = fragile().await;
    let carried = Client::builder(transport.clone())
        .clock(transport.clock())
        .build()
        .await;
    let carried = carried.unwrap();
    for kser in [kser, carried] {
        let told = statuses(&transport).await;
        let diary = Diary::default();
        let consumer = kser.consumer(noting(&diary)).spawn();
        sleep(SECOND).await;
        transport.fail(Fault::Topic("kser.events"));
        let run = kser.producer().launch_steps("test.Run", steps(2)).await;
        let run = run.unwrap();
        transport.heal();
        let state = run.wait_timeout(HOUR).await.unwrap();
        assert_eq!(state.status, Status::Success);
        sleep(HOUR).await;
        assert_eq!(diary.read(), ["a", "a"]);
        let mut told = told.read();
        told.sort();
        assert_eq!(told, ["RUNNING", "SUCCESS"]);
        consumer.stop().await.unwrap();
    }
}

/// A game that wants to be told of its status, and cannot be built if it has no notes.
struct Told(Diary);

impl Operation for Told {
    type Params = common::Game;
    const STATUS_HOOK: bool = true;

    async fn build_tasks(&self, _: &Context, game: common::Game) -> Result<Vec<Step>, TaskError> {
        match game.notes.is_empty() {
            true => Err(TaskError::new("No", "no notes").with_code(400)),
            false => Ok(game
                .notes
                .iter()
                .map(|text| Step::new(note(text)))
                .collect()),
        }
    }

    async fn on_status(&self, change: &StatusChange) -> Result<(), TaskError> {
        self.0.note(format!("{} -> {}", change.from, change.to));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_owner_is_told_of_a_failed_build_and_of_a_start_before_the_first_step_ends() {
    for mode in [Mode::Stored, Mode::AtLeastOnce] {
        let kser = common::client(mode).await;
        let diary = Diary::default();
        let slow = |_: Note| async {
            sleep(60 * SECOND).await;
            Outcome::default()
        };
        let registry = Registry::new().task(slow);
        let registry = registry.operation(Told(diary.clone())).build().unwrap();
        let consumer = kser.consumer(registry).spawn();
        let empty = common::Game { notes: Vec::new() };
        kser.producer().launch(empty).await.unwrap();
        sleep(SECOND).await;
        assert_eq!(diary.read(), ["PENDING -> FAILED"], "{mode:?}");
        let game = common::Game {
            notes: vec!["a".into()],
        };
        kser.producer().launch(game).await.unwrap();
        sleep(SECOND).await;
        assert_eq!(diary.read()[1..], ["PENDING -> RUNNING"], "{mode:?}");
        consumer.stop().await.unwrap();
    }
}

/// What another version of kser adds to its part of the metadata rides along from step to step.
#[tokio::test(start_paused = true)]
async fn fields_of_a_later_kser_travel_on() -> Result<(), Error> {
    let transport = Faulty::new(MemoryTransport::new());
    let kser = Client::builder(transport.clone()).build().await?;
    let everything = Interest::everything(vec![Topic::new("test")?]);
    let mut seen = transport.subscribe(everything).await?;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    let plan = r#"[{"entrypoint":"test.Note","params":{"text":"b"}}]"#;
    let envelope = format!(
        r#"{{"v":1,"run":"r","name":"test.Run","step":1,"of":2,"mode":"at-least-once","later":{{"x":1.0}},"plan":{plan}}}"#
    );
    let message = format!(
        r#"{{"uuid":"u","entrypoint":"test.Note","params":{{"text":"a"}},"metadata":{{"kser":{envelope}}}}}"#
    );
    kser.producer().send_bytes("test", message).await?;
    sleep(SECOND).await;
    assert_eq!(diary.read(), ["a", "b"]);
    for _ in 0..2 {
        let delivery = seen.receive(Room::records(1)).await?.remove(0);
        let payload = delivery.record.payload.clone().unwrap();
        let text = String::from_utf8_lossy(&payload);
        assert!(text.contains(r#""later":{"x":1.0}"#), "{text}");
        let _ = delivery.ticket.release(None);
    }
    consumer.stop().await
}

/// A handler that does not yield holds up no renewal: no other consumer may begin its step. One handler blocks at once, one
/// after a timer has woken its worker thread, which then is the thread that all timers wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leases_are_renewed_while_handlers_block_their_threads() {
    let store = MemoryStore::new();
    let kser = Client::builder(MemoryTransport::new())
        .store(store.clone())
        .build()
        .await;
    let kser = kser.unwrap();
    let block = |note: Note| async move {
        if note.text == "b" {
            sleep(SECOND / 10).await;
        }
        std::thread::sleep(8 * SECOND);
    };
    let consumer = kser.consumer(Registry::new().task(block).build().unwrap());
    let consumer = consumer.with_lease_duration(3 * SECOND).spawn();
    let mut runs = Vec::new();
    for text in ["a", "b"] {
        let steps = vec![Step::new(note(text))];
        runs.push(
            kser.producer()
                .launch_steps("test.Run", steps)
                .await
                .unwrap(),
        );
    }
    for _ in 0..7 {
        // The runtime's own timers are late when the fault is there.
        std::thread::sleep(SECOND);
        for run in &runs {
            let read = store.read(run.id()).await.unwrap();
            let progress = read.value.into_progress().unwrap();
            let until = progress.lease().map(|lease| lease.until);
            let now = read.now;
            assert!(
                until.is_none_or(|until| until >= now),
                "{until:?} at {now:?}"
            );
        }
    }
    for run in &runs {
        let state = run.wait_timeout(HOUR).await.unwrap();
        assert_eq!(state.status, Status::Success);
        let attempts = kser.runs().all_attempts(run.id()).await.unwrap();
        assert_eq!(attempts.len(), 1);
    }
    consumer.stop().await.unwrap();
}
