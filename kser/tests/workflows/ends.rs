//! Ends of attempts that cannot be told or written as they should.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{Diary, Doomed, Game, Note, client, note, noting};
use crate::faulty::{Deaf, Fault, Faulty, Loss};
use kser::backend::{Interest, Room, StateStore as _, Transport as _};
use kser::client::Mode;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::Topic;
use kser::operation::StatusChange;
use kser::{Client, Context, Operation, Outcome, Registry, Status, Step, TaskError};
use tokio::time::sleep;

const HOUR: Duration = Duration::from_secs(3600);

/// A game that wants to be told of its status.
struct Told;

impl Operation for Told {
    type Params = Game;
    const STATUS_HOOK: bool = true;

    async fn build_tasks(&self, _: &Context, params: Game) -> Result<Vec<Step>, TaskError> {
        let notes = params.notes.iter();
        Ok(notes.map(|text| Step::new(note(text))).collect())
    }

    async fn on_status(&self, _: &StatusChange) -> Result<(), TaskError> {
        Ok(())
    }
}

/// A client over what fails on demand.
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

/// A row that somebody has locked, say.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_not_answered_holds_up_no_other() {
    let (_, store, kser) = fragile().await;
    let slow = |_: Note| sleep(HOUR);
    let consumer = kser
        .consumer(Registry::new().task(slow).build().unwrap())
        .spawn();
    for id in ["stuck", "other"] {
        let steps = vec![Step::new(note(id))];
        let launch = kser.producer().launch_steps("test.Run", steps);
        launch.with_id(id).await.unwrap();
    }
    sleep(Duration::from_secs(5)).await;
    store.lose(Loss::Stuck);
    for _ in 0..10 {
        sleep(Duration::from_secs(20)).await;
        let read = store.read(&"other".into()).await.unwrap();
        let progress = read.value.into_progress().unwrap();
        let until = progress.lease().unwrap().until;
        assert!(
            until > read.now,
            "the lease ended {:?} ago",
            read.now.since(until)
        );
    }
    consumer.kill();
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_once_though_its_owner_cannot_be_told() {
    for mode in [Mode::Stored, Mode::AtLeastOnce] {
        let kser = client(mode).await;
        let diary = Diary::default();
        let seen = diary.clone();
        let fails = move |_: Note| {
            seen.note("ran");
            let error = TaskError::permanent("No", "x".repeat(300));
            async { Err::<Outcome, _>(error) }
        };
        let registry = Registry::new().task(fails);
        let consumer = kser
            .consumer(registry.operation(Told).build().unwrap())
            .spawn();
        let game = Game {
            notes: vec!["a".into()],
        };
        // The step fits into a message; what the owner is told does not.
        let text = "z".repeat(999_500);
        let run = kser.producer().launch(game).with_metadata("m", &text).await;
        let state = run.unwrap().wait_timeout(HOUR).await.unwrap();
        assert_eq!(state.status, Status::Failed);
        assert!(
            state.outcome.error_message().contains("xxx"),
            "{:?}",
            state.outcome
        );
        sleep(HOUR).await;
        assert_eq!(diary.read(), ["ran"], "{mode:?}");
        consumer.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_build_is_written_though_its_run_has_moved() {
    let (_, store, kser) = fragile().await;
    let diary = Diary::default();
    let registry = noting(&diary)
        .into_builder()
        .operation(Told)
        .build()
        .unwrap();
    let consumer = kser.consumer(registry).spawn();
    store.lose(Loss::Race);
    let notes = vec!["a".into(), "b".into()];
    let run = kser.producer().launch(Game { notes }).await.unwrap();
    let state = run.wait_timeout(HOUR).await.unwrap();
    assert_eq!(state.status, Status::Success, "{:?}", state.outcome);
    assert_eq!(diary.read(), ["a", "b"]);
    consumer.stop().await.unwrap();
}

/// What a store fails with is no fault of the message.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_good_makes_no_dead_letters() {
    let (_, store, kser) = fragile().await;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    store.lose(Loss::ForGood);
    let steps = vec![Step::new(note("a"))];
    let run = kser.producer().launch_steps("test.Down", steps).await;
    sleep(HOUR).await;
    let health = consumer.handle().health();
    let reason = health.unsettled.first().map(|held| held.reason.clone());
    assert_eq!(reason.as_deref(), Some("faulty failed: on demand"));
    store.lose(Loss::Nothing);
    run.unwrap().result().await.unwrap();
    assert_eq!(diary.read(), ["a"]);
    let mut letters = kser.dead_letters("test").await.unwrap();
    assert!(letters.list(10).await.unwrap().is_empty());
    sleep(Duration::from_secs(5)).await;
    assert!(consumer.handle().health().unsettled.is_empty());
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_back_what_the_store_does_not_take() {
    let (transport, store, kser) = fragile().await;
    let down = store.clone();
    let task = move |note: Note| {
        down.lose(Loss::Swaps);
        async move { note.text }
    };
    let registry = Registry::new().task(task).build().unwrap();
    let consumer = kser
        .consumer(registry)
        .with_shutdown_timeout(Duration::from_secs(1));
    let consumer = consumer.spawn();
    let steps = vec![Step::new(note("a"))];
    let run = kser.producer().launch_steps("test.Down", steps).await;
    sleep(Duration::from_secs(1)).await;
    let _ = consumer.stop().await;
    store.lose(Loss::Nothing);
    let topic = Topic::new("test").unwrap();
    let group = Interest::group("kser.test", vec![topic]);
    let mut group = transport.subscribe(group).await.unwrap();
    let back = tokio::time::timeout(Duration::from_secs(5), group.receive(Room::records(1)));
    let back = back.await.unwrap().unwrap().remove(0);
    assert_eq!(back.record.topic.as_str(), "test");
    assert_eq!(run.unwrap().status().await.unwrap().status, Status::Running);
}

#[tokio::test(start_paused = true)]
async fn a_relay_repeats_none_for_the_sake_of_another() {
    let (transport, store, kser) = fragile().await;
    let topics = [Topic::new("good").unwrap(), Topic::new("bad").unwrap()];
    let reader = |topic: &Topic| Interest::group("reader", vec![topic.clone()]);
    let mut good = transport.subscribe(reader(&topics[0])).await.unwrap();
    let _bad = transport.subscribe(reader(&topics[1])).await.unwrap();
    let sends = |ctx: Context, _: Note| async move {
        ctx.send_to("bad", None, Doomed {})?;
        ctx.send_to("good", None, Doomed {})?;
        Ok::<_, TaskError>("sent")
    };
    let consumer = kser
        .consumer(Registry::new().task(sends).build().unwrap())
        .spawn();
    store.lose(Loss::Relayed);
    let steps = vec![Step::new(note("a"))];
    let run = kser.producer().launch_steps("test.Sends", steps).await;
    run.unwrap().result().await.unwrap();
    transport.fail(Fault::Topic("bad"));
    sleep(HOUR).await;
    let mut seen = 0;
    while let Ok(received) =
        tokio::time::timeout(Duration::from_secs(1), good.receive(Room::records(100))).await
    {
        for delivery in received.unwrap() {
            seen += 1;
            assert!(!delivery.ticket.settle(Vec::new()).await.unwrap().is_lost());
        }
    }
    assert_eq!(seen, 2, "once at first, and once since that was not noted");
    consumer.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_relay_writes_one_dead_letter_of_what_its_topic_does_not_take() {
    let (transport, store, kser) = fragile().await;
    let mut letters = kser.dead_letters("bad").await.unwrap();
    let sends = |ctx: Context, _: Note| async move {
        ctx.send_to("bad", None, Doomed {})?;
        Ok::<_, TaskError>("sent")
    };
    let consumer = kser
        .consumer(Registry::new().task(sends).build().unwrap())
        .spawn();
    store.lose(Loss::Relayed);
    let steps = vec![Step::new(note("a"))];
    let run = kser.producer().launch_steps("test.Sends", steps).await;
    run.unwrap().result().await.unwrap();
    transport.fail(Fault::Small("bad"));
    let letter = letters.next().await.unwrap();
    let error = letter.error().unwrap();
    assert!(error.contains("topic bad does not take"), "{error}");
    letter.discard().await.unwrap();
    let more = tokio::time::timeout(HOUR, letters.next()).await;
    assert!(more.is_err(), "{more:?}");
    consumer.stop().await.unwrap();
}
