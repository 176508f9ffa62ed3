//! Where the rules meet what a user may do: operations within operations, sizes, clocks, leases and stores that differ.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{self, Diary, Doomed, Game, Note, client, note, told};
use kser::backend::{Interest, Room, StateStore as _, Transport as _};
use kser::client::{Clock, Mode};
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::{Message, Topic};
use kser::run::Timestamp;
use kser::{
    Context, Error, IntoTask as _, Outcome, Registry, RetryPolicy, Status, Step, TaskError,
};
use tokio::time::{Instant, sleep};

const DAY: Duration = Duration::from_secs(86_400);

fn notes() -> Registry {
    let echo = |note: Note| async move { Outcome::text(note.text) };
    Registry::new().task(echo).build().unwrap()
}

fn games() -> Registry {
    let build = |game: Game| async move {
        let steps = game.notes.iter().map(|text| Step::new(note(text)));
        Ok::<_, TaskError>(steps.collect::<Vec<_>>())
    };
    notes().into_builder().operation(build).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_no_step_of_another() {
    for mode in [Mode::Stored, Mode::AtLeastOnce] {
        for position in [1, 2] {
            let kser = client(mode).await;
            let consumer = kser.consumer(games()).spawn();
            let mut steps = vec![Step::new(Game { notes: Vec::new() })];
            steps.splice(0..0, (1..position).map(|_| Step::new(note("first"))));
            let run = kser.producer().launch_steps("test.Outer", steps).await;
            let state = run.unwrap().wait_timeout(DAY).await.unwrap();
            assert_eq!(state.status, Status::Failed, "{mode:?} {position}");
            assert_eq!(state.position, position);
            assert!(state.outcome.error_message().contains("cannot be a step"));
            let mut letters = kser.dead_letters("test").await.unwrap();
            letters.next().await.unwrap().discard().await.unwrap();
            consumer.stop().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_launched_fails_at_once() {
    for mode in [Mode::Stored, Mode::AtLeastOnce] {
        let kser = client(mode).await;
        let diary = Diary::default();
        let consumer = kser.consumer(common::noting(&diary)).spawn();
        let run = kser.producer().launch(note("a")).await.unwrap();
        let state = run.wait_timeout(Duration::from_secs(5)).await.unwrap();
        assert_eq!(state.status, Status::Failed, "{mode:?}");
        let text = state.outcome.error_message();
        assert!(
            text.contains("test.Note is a task, not an operation"),
            "{text}"
        );
        assert!(diary.read().is_empty(), "the handler has run");
        let mut letters = kser.dead_letters("test").await.unwrap();
        letters.next().await.unwrap().discard().await.unwrap();
        consumer.stop().await.unwrap();
    }
}

/// Its run has no row before the consumer reads the launch.
#[tokio::test(start_paused = true)]
async fn a_task_that_a_handler_launches_fails_at_once() {
    let kser = client(Mode::Stored).await;
    let launching =
        |ctx: Context, _: Doomed| async move { ctx.launch(note("a")).map(|id| id.to_string()) };
    let registry = notes().into_builder().task(launching).build().unwrap();
    let consumer = kser.consumer(registry).spawn();
    let steps = vec![Step::new(Doomed {})];
    let run = kser.producer().launch_steps("test.Run", steps).await;
    let id = run.unwrap().result().await.unwrap().message().to_owned();
    sleep(Duration::from_secs(5)).await;
    let state = kser.runs().status(&id.into()).await.unwrap();
    assert_eq!(state.status, Status::Failed);
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_attempt_keeps_its_step_until_it_ends() {
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let seen = diary.clone();
    let slow = move |_: Context, _: Note| {
        let diary = seen.clone();
        async move {
            diary.note("begin");
            sleep(Duration::from_secs(120)).await;
            diary.note("end");
            Outcome::text("ok")
        }
    };
    let consumer = kser
        .consumer(Registry::new().task(slow).build().unwrap())
        .spawn();
    let steps = vec![Step::new(note("a"))];
    let run = kser.producer().launch_steps("test.Slow", steps).await;
    let run = run.unwrap();
    sleep(Duration::from_secs(5)).await;
    run.cancel().await.unwrap();
    // Longer than a lease.
    sleep(Duration::from_secs(60)).await;
    assert!(matches!(run.resume().await, Err(Error::Rejected { .. })));
    sleep(Duration::from_secs(120)).await;
    run.resume().await.unwrap();
    assert_eq!(run.wait().await.unwrap().status, Status::Success);
    assert_eq!(diary.read(), ["begin", "end"]);
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_skip_too_large_to_tell_is_refused_unwritten() {
    let kser = client(Mode::Stored).await;
    let fails = |_: Note| async { Err::<Outcome, _>(TaskError::permanent("X", "x")) };
    let consumer = kser
        .consumer(Registry::new().task(fails).build().unwrap())
        .spawn();
    let steps = vec![Step::new(note("a")).with_id("s1"), Step::new(note("b"))];
    let run = kser.producer().launch_steps("test.Two", steps).await;
    let run = run.unwrap();
    run.wait().await.unwrap();
    let large = Outcome::text("x".repeat(2_000_000));
    let refused = run.skip_step(&"s1".into(), large).await;
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
    let state = run.status().await.unwrap();
    assert_eq!((state.status, state.position), (Status::Failed, 1));
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_report_that_the_next_message_cannot_carry_fails_the_step() {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let store = MemoryStore::with_clock(clock);
    let kser = kser::Client::builder(transport.clone())
        .store(store)
        .clock(clock)
        .build()
        .await
        .unwrap();
    let topics = vec![Topic::new("outside").unwrap()];
    let outside = transport.subscribe(Interest::group("python", topics)).await;
    let mut outside = outside.unwrap();
    let consumer = kser.consumer(notes()).spawn();
    let ask = Step::named("outside.Ask", &serde_json::json!({"q": 1}));
    let steps = vec![
        ask.external(Duration::from_secs(3600)),
        Step::new(note(&"y".repeat(900_000))),
    ];
    let run = kser.producer().launch_steps("test.Ask", steps).await;
    let asked = outside.receive(Room::records(1)).await.unwrap().remove(0);
    let message = Message::decode(asked.record.payload.as_deref().unwrap()).unwrap();
    assert!(!asked.ticket.settle(Vec::new()).await.unwrap().is_lost());
    let large = Outcome::text("x".repeat(200_000));
    kser.producer().report(&message, &large).await.unwrap();
    let state = run.unwrap().wait_timeout(DAY).await.unwrap();
    assert_eq!((state.status, state.position), (Status::Failed, 1));
    assert_eq!(consumer.handle().health().held, 0);
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_no_consumer_here_can_decide_makes_room_for_the_others() {
    let kser = client(Mode::Stored).await;
    let consumer = kser.consumer(notes()).with_buffer(4, 1 << 20).spawn();
    let envelopes = [
        r#""mode":"stored","version":2,"store":"gone""#,
        r#""mode":"at-least-once","version":2,"plan":[{}]"#,
    ];
    for at in 0..8 {
        let ours = envelopes[at % 2];
        let message = format!(
            r#"{{"uuid":"u{at}","entrypoint":"test.Note","params":{{"text":"a"}},"metadata":{{"kser":{{"v":1,"run":"r{at}","name":"test.F","step":1,"of":2,{ours}}}}}}}"#
        );
        kser.producer().send_bytes("test", message).await.unwrap();
    }
    sleep(Duration::from_secs(5)).await;
    let steps = vec![Step::new(note("a"))];
    let run = kser.producer().launch_steps("test.Good", steps).await;
    let state = run.unwrap().wait_timeout(Duration::from_secs(60)).await;
    assert_eq!(state.unwrap().status, Status::Success);
    let mut letters = kser.dead_letters("test").await.unwrap();
    for _ in 0..8 {
        letters.next().await.unwrap().discard().await.unwrap();
    }
    consumer.stop().await.unwrap();
}

/// A clock that was set an hour late.
#[derive(Debug)]
struct Late(Timestamp, Instant);

impl Clock for Late {
    fn now(&self) -> Timestamp {
        self.0 + self.1.elapsed()
    }
}

/// The first write of a process goes by the clock of the store, too: the run is due a minute after its launch.
#[tokio::test(start_paused = true)]
async fn a_run_is_due_in_time_whatever_the_clock_of_its_producer() {
    for ahead in [-3_600_000_i64, 3_600_000] {
        let transport = MemoryTransport::new();
        let clock = transport.clock();
        let wrong = Timestamp::from_millis(clock.now().as_millis().saturating_add_signed(ahead));
        let store = Arc::new(MemoryStore::with_clock(clock));
        let kser = kser::Client::builder(transport)
            .store(Arc::clone(&store))
            .clock(Late(wrong, Instant::now()))
            .build()
            .await;
        let kser = kser.unwrap();
        let game = Game { notes: Vec::new() };
        kser.producer().launch(game).await.unwrap();
        let topic = Topic::new("test").unwrap();
        let mut due = Vec::new();
        for _ in 0..2 {
            let runs = store
                .due(&topic, Duration::ZERO, 10, Duration::ZERO)
                .await
                .unwrap();
            due.push(runs.value.len());
            sleep(Duration::from_secs(61)).await;
        }
        assert_eq!(due, [0, 1], "{ahead} ms ahead");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_as_long_whatever_the_clock_of_the_worker() {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let late = Timestamp::from_millis(clock.now().as_millis() - 3_600_000);
    let store = MemoryStore::with_clock(clock);
    let kser = kser::Client::builder(transport)
        .store(store)
        .clock(Late(late, Instant::now()))
        .build()
        .await
        .unwrap();
    let tried = Arc::new(AtomicUsize::new(0));
    let flaky = move |_: Note| {
        let first = tried.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            match first {
                true => Err(TaskError::internal("not yet").into_temporary()),
                false => Ok(Outcome::text("ok")),
            }
        }
    };
    let consumer = kser
        .consumer(Registry::new().task(flaky).build().unwrap())
        .spawn();
    let steps = vec![Step::new(note("a"))];
    let run = kser.producer().launch_steps("test.Flaky", steps).await;
    let state = run.unwrap().wait_timeout(Duration::from_secs(60)).await;
    assert_eq!(state.unwrap().status, Status::Success);
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_handler_begins_when_nobody_knows_it() {
    let kser = client(Mode::AtLeastOnce).await;
    let fails = (|_: Note| async { Err::<Outcome, _>(TaskError::internal("x").into_temporary()) })
        .with_retry(RetryPolicy::exponential(3, Duration::from_secs(900)));
    let new = kser
        .consumer(Registry::new().task(fails).build().unwrap())
        .spawn();
    kser.producer().send(note("a")).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    new.stop().await.unwrap();
    let other = |_: Doomed| async { Outcome::default() };
    let old = kser
        .consumer(Registry::new().task(other).build().unwrap())
        .spawn();
    let began = Instant::now();
    let mut letters = kser.dead_letters("test").await.unwrap();
    let letter = letters.next().await.unwrap();
    assert!(letter.error().unwrap().contains("not registred"));
    assert!(
        began.elapsed() >= Duration::from_secs(1300),
        "{:?}",
        began.elapsed()
    );
    old.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_build_is_retried_by_the_name_of_its_run_alone() {
    let kser = client(Mode::Stored).await;
    let fails = |_: Game| async { Err::<Vec<Step>, _>(TaskError::permanent("X", "x")) };
    let registry = Registry::new().operation(fails).build().unwrap();
    let consumer = kser.consumer(registry).spawn();
    let run = kser.producer().launch(Game { notes: Vec::new() }).await;
    let run = run.unwrap();
    run.wait().await.unwrap();
    let refused = run.retry_step(&"no-such-step".into()).await;
    assert!(
        matches!(refused, Err(Error::Rejected { .. })),
        "{refused:?}"
    );
    run.retry_step(&run.id().as_str().into()).await.unwrap();
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_topic_without_room_for_its_dead_letters_is_refused() {
    let kser = client(Mode::AtLeastOnce).await;
    let consumer = kser.consumer(notes()).with_topics(["t".repeat(247)]);
    let refused = consumer.unwrap().run().await;
    assert!(
        matches!(refused, Err(Error::InvalidTopic { .. })),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fork_of_a_fork_forwards_nothing_else() {
    let kser = client(Mode::Stored).await;
    let chain = |ctx: Context, note: Note| async move {
        Outcome::text(format!("{}<{}", note.text, ctx.previous().message()))
    };
    let consumer = kser
        .consumer(Registry::new().task(chain).build().unwrap())
        .spawn();
    let steps = ["a", "b", "c"].map(|text| Step::new(note(text)));
    let run = kser
        .producer()
        .launch_steps("test.Chain", steps.into())
        .await;
    let run = run.unwrap();
    run.wait().await.unwrap();
    let fork = run.fork(2).await.unwrap();
    assert_eq!(fork.result().await.unwrap().message(), "c<b<a<");
    let again = fork.fork(3).await.unwrap();
    assert_eq!(again.result().await.unwrap().message(), "c<b<a<");
    // Step 1 is not of this run.
    let refused = fork.fork(2).await.unwrap_err();
    assert!(told(&refused).contains("is done in the run"));
    consumer.stop().await.unwrap();
}

#[tokio::test]
async fn no_number_is_too_large_for_a_setting() {
    let kser = client(Mode::Stored).await;
    let brief = |_: Note| async {
        sleep(Duration::from_millis(5)).await;
        Outcome::text("ok")
    };
    let task = brief.with_time_limit(Duration::MAX);
    let consumer = kser
        .consumer(Registry::new().task(task).build().unwrap())
        .with_concurrency(usize::MAX)
        .with_lease_duration(Duration::MAX)
        .with_max_in_memory_delay(Duration::MAX)
        .with_shutdown_timeout(Duration::MAX)
        .spawn();
    let steps = vec![Step::new(note("a"))];
    let run = kser.producer().launch_steps("test.F", steps).await;
    let state = run.unwrap().wait_timeout(Duration::from_secs(10)).await;
    assert_eq!(state.unwrap().status, Status::Success);
    consumer.stop().await.unwrap();
}
