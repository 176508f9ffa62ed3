//! Forks, replays and purges, seen from outside.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{self, Diary, Game, client, note, noting, told};
use kser::backend::{Interest, Room, Transport};
use kser::client::Mode;
use kser::message::{Message, Topic};
use kser::operation::StatusChange;
use kser::run::RunEvent;
use kser::{Client, Context, Entrypoint, Error, Operation, Outcome, Status, Step, TaskError};
use tokio::time::sleep;

struct Told(Diary);

impl Operation for Told {
    type Params = Game;
    const STATUS_HOOK: bool = true;

    async fn build_tasks(&self, _: &Context, params: Game) -> Result<Vec<Step>, TaskError> {
        let notes = params.notes.iter();
        Ok(notes.map(|text| Step::new(note(text))).collect())
    }

    async fn on_status(&self, change: &StatusChange) -> Result<(), TaskError> {
        self.0.note(format!("{} -> {}", change.from, change.to));
        Ok(())
    }
}

/// A client with a store, and the transport below it.
async fn stored() -> (kser::memory::MemoryTransport, Client) {
    let transport = kser::memory::MemoryTransport::new();
    let clock = transport.clock();
    let store = kser::memory::MemoryStore::with_clock(clock);
    let kser = Client::builder(transport.clone())
        .store(store)
        .clock(clock)
        .build()
        .await
        .unwrap();
    (transport, kser)
}

#[tokio::test(start_paused = true)]
async fn the_owner_and_the_observers_hear_of_a_fork_too() -> Result<(), Error> {
    let (transport, kser) = stored().await;
    let told = Diary::default();
    let registry = noting(&Diary::default())
        .into_builder()
        .operation(Told(told.clone()))
        .build()?;
    let consumer = kser.consumer(registry).spawn();
    let launch = kser.producer().launch(Game {
        notes: ["a", "b", "c"].map(String::from).to_vec(),
    });
    let run = launch.with_step_events().await?;
    run.result().await?;
    sleep(Duration::from_secs(5)).await;
    let both = ["PENDING -> RUNNING", "RUNNING -> SUCCESS"];
    assert_eq!(told.read(), both);
    let interest = Interest::everything(vec![Topic::new("kser.events")?]);
    let mut events = transport.subscribe(interest).await?;
    let fork = run.fork(2).await?;
    fork.result().await?;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(told.read(), [both, both].concat());
    let mut seen = Vec::new();
    for delivery in events.receive(Room::records(10)).await? {
        let event = RunEvent::decode(delivery.record.payload.as_deref().unwrap())?;
        let _ = delivery.ticket.settle(Vec::new()).await;
        assert_eq!(event.run, *fork.id());
        seen.push((event.from, event.status, event.position));
    }
    let (pending, running, success) = (Status::Pending, Status::Running, Status::Success);
    let expected = [
        (pending, running, 2),
        (running, running, 3),
        (running, success, 4),
    ];
    assert_eq!(seen, expected);
    events.close().await?;
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_fork_from_an_external_step_waits_for_its_report_and_no_longer() -> Result<(), Error> {
    let (_, kser) = stored().await;
    let consumer = kser.consumer(noting(&Diary::default())).spawn();
    let external = Step::named("outside.Ask", &serde_json::json!({}));
    let steps = vec![
        Step::new(note("before")),
        external.external(Duration::from_secs(3600)),
        Step::new(note("after")),
    ];
    let run = kser.producer().launch_steps("test.External", steps).await?;
    sleep(Duration::from_secs(5)).await;
    let step = run.id().step(2);
    kser.runs()
        .report(run.id(), &step, Outcome::text("yes"))
        .await?;
    run.result().await?;
    let answered = run.fork(2).await?;
    let step = answered.id().step(2);
    kser.runs()
        .report(answered.id(), &step, Outcome::text("again"))
        .await?;
    answered.result().await?;
    let silent = run.fork(2).await?;
    let state = silent.wait_timeout(Duration::from_secs(7200)).await?;
    assert_eq!(state.status, Status::Failed);
    assert_eq!(state.outcome.error().unwrap().code(), 504);
    consumer.stop().await
}

/// It has no envelope, so that the letter says nothing of a run.
#[tokio::test(start_paused = true)]
async fn a_launch_from_python_that_could_not_be_built_is_replayed() -> Result<(), Error> {
    for mode in [Mode::Stored, Mode::AtLeastOnce] {
        let kser = client(mode).await;
        let fails = Arc::new(AtomicBool::new(true));
        let failing = Arc::clone(&fails);
        let build = move |game: Game| {
            let fails = failing.load(Ordering::Relaxed);
            async move {
                match fails {
                    true => Err(TaskError::new("NoBoard", "no board").with_code(422)),
                    false => Ok(game
                        .notes
                        .iter()
                        .map(|text| Step::new(note(text)))
                        .collect::<Vec<_>>()),
                }
            }
        };
        let diary = Diary::default();
        let consumer = kser
            .consumer(noting(&diary).into_builder().operation(build).build()?)
            .spawn();
        let mut letters = kser.dead_letters("test").await?;
        let raw = r#"{"uuid": "from-python", "entrypoint": "test.Game", "params": {"notes": ["a", "b"]}}"#;
        let message = Message::decode(raw.as_bytes())?;
        assert_eq!(message.entrypoint.as_str(), Game::PATH);
        kser.producer().send_bytes("test", raw).await?;
        let letter = letters.next().await?;
        assert_eq!(letter.record().payload.as_deref().unwrap(), raw.as_bytes());
        fails.store(false, Ordering::Relaxed);
        letter.replay().await?;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(diary.read(), ["a", "b"], "{mode:?}");
        if mode == Mode::Stored {
            let state = kser.runs().status(&"from-python".into()).await?;
            assert_eq!(state.status, Status::Success);
        }
        letters.close().await?;
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_letter_of_a_run_that_was_repaired_otherwise_is_not_replayed() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let doomed =
        |_: common::Doomed| async { Err::<(), _>(TaskError::new("Doomed", "no").with_code(422)) };
    let diary = Diary::default();
    let consumer = kser
        .consumer(noting(&diary).into_builder().task(doomed).build()?)
        .spawn();
    let mut letters = kser.dead_letters("test").await?;
    let steps = vec![Step::new(common::Doomed {}), Step::new(note("b"))];
    let run = kser.producer().launch_steps("test.Repaired", steps).await?;
    run.wait().await?;
    let letter = letters.next().await?;
    run.skip_step(&run.id().step(1), Outcome::text("by hand"))
        .await?;
    run.result().await?;
    let refused = letter.replay().await.unwrap_err();
    assert!(told(&refused).contains("the step is done"), "{refused}");
    letters.close().await?;
    let mut letters = kser.dead_letters("test").await?;
    letters.next().await?.discard().await?;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(diary.read(), ["b"]);
    letters.close().await?;
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_run_that_goes_on_is_not_purged() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let steps = vec![Step::new(note("a"))];
    let run = kser.producer().launch_steps("test.Purge", steps).await?;
    let refused = run.purge().await.unwrap_err();
    assert_eq!(
        told(&refused),
        format!(
            "operation {} does not allow this: it is RUNNING, which is not an end",
            run.id()
        )
    );
    assert!(!kser.runs().purge(&"nobody".into()).await?);
    run.cancel().await?;
    assert!(run.purge().await?);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_launch_with_an_envelope_of_ones_own_is_refused() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let mine =
        serde_json::json!({"v": 1, "run": "r", "name": "n", "step": 1, "of": 1, "mode": "stored"});
    let launch = kser.producer().launch(Game { notes: Vec::new() });
    let refused = launch.with_metadata("kser", &mine).await.unwrap_err();
    assert!(told(&refused).contains("belongs to kser"), "{refused}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_url_that_is_refused_shows_no_password() {
    for url in [
        "shop:secret@broker",
        "memory://shop:secret@broker",
        "memory://?password=secret",
        "smoke-signals://shop:secret@hill",
        "kafka://shop:secret@broker:9092",
    ] {
        let refused = kser::connect(url).await.unwrap_err();
        let shown = format!("{refused:?} {}", told(&refused));
        assert!(!shown.contains("secret"), "{url}: {shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_url_that_would_be_half_understood_is_refused() {
    for (url, expected) in [
        ("memory://prefix=a", "nothing may stand before the options"),
        ("memory", "it has no scheme"),
        ("", "it has no scheme"),
        ("memory://?perfix=a", "unknown option \"perfix\""),
        ("redis://", "the scheme \"redis\" is not supported"),
    ] {
        let error = kser::connect(url).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{url}: {error}");
    }
}
