//! Steps that someone else runs.

use std::time::Duration;

use crate::common::{self, Diary, both, client, note, noting};
use kser::backend::{Interest, Room, Transport};
use kser::client::Mode;
use kser::memory::MemoryTransport;
use kser::message::{Message, Topic};
use kser::{Error, Outcome, Registry, Status, Step};
use tokio::time::sleep;

/// Connects to a transport, with a store of its own if runs are stored, on the clock of the transport.
async fn connect(transport: &MemoryTransport, mode: Mode) -> Result<kser::Client, Error> {
    common::builder(transport.clone(), mode).build().await
}

/// Another program runs the step and reports its end, as a Python consumer does: same uuid, metadata untouched.
#[tokio::test(start_paused = true)]
async fn an_external_step_is_ended_by_its_report() -> Result<(), Error> {
    for mode in [Mode::Stored, Mode::AtLeastOnce] {
        let transport = MemoryTransport::new();
        let kser = connect(&transport, mode).await?;
        let diary = Diary::default();
        let consumer = kser.consumer(noting(&diary)).spawn();
        let outside = Interest::group("python", vec![Topic::new("outside")?]);
        let mut outside = transport.subscribe(outside).await?;
        let external = Step::named("outside.Ask", &serde_json::json!({"q": 1}));
        let steps = vec![
            Step::new(note("before")),
            external.external(Duration::from_secs(3600)),
            Step::new(note("after")),
        ];
        let run = kser.producer().launch_steps("test.External", steps).await?;
        let delivery = outside.receive(Room::records(1)).await?.remove(0);
        let message = Message::decode(delivery.record.payload.as_deref().unwrap())?;
        assert_eq!(message.params.as_str(), r#"{"q":1}"#);
        assert_eq!(message.result.message(), "before");
        kser.producer()
            .report(&message, &Outcome::text("answer"))
            .await?;
        // A second report changes nothing.
        kser.producer()
            .report(&message, &Outcome::text("late"))
            .await?;
        let _ = delivery.ticket.settle(Vec::new()).await;
        assert_eq!(run.result().await?.message(), "after");
        sleep(Duration::from_secs(7200)).await;
        if mode == Mode::Stored {
            let texts: Vec<_> = run
                .outcomes()
                .await?
                .iter()
                .map(|o| o.message().to_owned())
                .collect();
            assert_eq!(texts, ["before", "answer", "after"]);
            assert_eq!(diary.read(), ["before", "after"]);
        }
        outside.close().await?;
        consumer.stop().await?;
    }
    Ok(())
}

/// The name of the run is that of no operation, so that no consumer reads its topic.
#[tokio::test(start_paused = true)]
async fn a_report_of_a_run_without_an_operation_is_read() -> Result<(), Error> {
    for mode in [Mode::Stored, Mode::AtLeastOnce] {
        let transport = MemoryTransport::new();
        let kser = connect(&transport, mode).await?;
        let consumer = kser.consumer(noting(&Diary::default())).spawn();
        let outside = Interest::group("python", vec![Topic::new("outside")?]);
        let mut outside = transport.subscribe(outside).await?;
        let ask = || {
            Step::named("outside.Ask", &serde_json::json!({})).external(Duration::from_secs(3600))
        };
        let steps = vec![
            ask(),
            Step::new(note("between")),
            ask(),
            Step::new(note("after")),
        ];
        let run = kser.producer().launch_steps("adhoc.Job", steps).await?;
        for _ in 0..2 {
            let delivery = outside.receive(Room::records(1)).await?.remove(0);
            let message = Message::decode(delivery.record.payload.as_deref().unwrap())?;
            kser.producer()
                .report(&message, &Outcome::text("told"))
                .await?;
            let _ = delivery.ticket.settle(Vec::new()).await;
        }
        let state = run.wait_timeout(Duration::from_secs(60)).await?;
        assert_eq!(
            (state.status, state.outcome.message()),
            (Status::Success, "after")
        );
        outside.close().await?;
        consumer.stop().await?;
    }
    Ok(())
}

/// A report that is ahead of the state of its run waits in hand no longer than anything else may.
#[tokio::test(start_paused = true)]
async fn a_report_that_comes_too_early_is_not_held_for_long() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let store = kser::memory::MemoryStore::with_clock(clock);
    let kser = kser::Client::builder(transport.clone())
        .store(store)
        .clock(clock)
        .build()
        .await?;
    let consumer = kser.consumer(noting(&Diary::default()));
    let consumer = consumer
        .with_max_in_memory_delay(Duration::from_secs(2))
        .spawn();
    let outside = Interest::group("python", vec![Topic::new("outside")?]);
    let mut outside = transport.subscribe(outside).await?;
    let ask =
        || Step::named("outside.Ask", &serde_json::json!({})).external(Duration::from_secs(3600));
    let run = kser
        .producer()
        .launch_steps("test.Early", vec![ask(), ask()])
        .await?;
    let delivery = outside.receive(Room::records(1)).await?.remove(0);
    let first = Message::decode(delivery.record.payload.as_deref().unwrap())?;
    let text = String::from_utf8(first.encode()?.to_vec()).unwrap();
    let second = text.replace("\"step\":1", "\"step\":2");
    let second = second.replace(first.uuid.as_str(), run.id().step(2).as_str());
    let second = Message::decode(second.as_bytes())?;
    kser.producer().report(&second, &Outcome::text("b")).await?;
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(consumer.handle().health().held, 1);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(consumer.handle().health().held, 0);
    kser.producer().report(&first, &Outcome::text("a")).await?;
    let _ = delivery.ticket.settle(Vec::new()).await;
    assert_eq!(run.result().await?.message(), "b");
    outside.close().await?;
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn an_external_step_of_which_nobody_speaks_is_a_failure() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let consumer = kser.consumer(noting(&Diary::default())).spawn();
    let step = Step::named("outside.Ask", &serde_json::json!({}));
    let step = step.external(Duration::from_secs(600)).with_attempts(2);
    let run = kser
        .producer()
        .launch_steps("test.Silence", vec![step])
        .await?;
    let began = tokio::time::Instant::now();
    let state = run.wait().await?;
    assert_eq!(state.status, Status::Failed);
    assert_eq!(state.outcome.error_message(), "no report within 600 s");
    assert!(
        began.elapsed() >= Duration::from_secs(1200),
        "{:?}",
        began.elapsed()
    );
    run.skip_step(&run.id().step(1), Outcome::text("by hand"))
        .await?;
    assert_eq!(run.result().await?.message(), "by hand");
    consumer.stop().await
}

/// Our consumer runs someone else's external step: a lone task here, whose end is reported.
#[tokio::test(start_paused = true)]
async fn an_external_step_may_be_run_by_another_service_of_ours() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let owner = kser.consumer(noting(&diary)).spawn();
        let ask =
            |double: common::Double| async move { Outcome::text(format!("{}", double.n * 2)) };
        let other = Registry::new().task(ask).build()?;
        let other = kser.consumer(other).with_topics(["outside"])?.spawn();
        let ask = Step::new(common::Double { n: 21 }).with_topic("outside");
        let steps = vec![
            ask.external(Duration::from_secs(60)),
            Step::new(note("after")),
        ];
        let run = kser.producer().launch_steps("test.Other", steps).await?;
        assert_eq!(run.result().await?.message(), "after");
        owner.stop().await?;
        other.stop().await?;
    }
    Ok(())
}

/// The topic of the step is one that a consumer of ours reads, in a group of its own.
#[tokio::test(start_paused = true)]
async fn an_external_step_is_not_failed_by_a_consumer_of_its_topic() -> Result<(), Error> {
    for mode in [Mode::Stored, Mode::AtLeastOnce] {
        for name in ["test.Ask", "test.Game"] {
            let transport = MemoryTransport::new();
            let kser = connect(&transport, mode).await?;
            let build = |_: common::Game| async { Ok::<_, kser::TaskError>(Vec::<Step>::new()) };
            let registry = noting(&Diary::default())
                .into_builder()
                .operation(build)
                .build()?;
            let consumer = kser.consumer(registry).spawn();
            let outside = Interest::group("office", vec![Topic::new("test")?]);
            let mut outside = transport.subscribe(outside).await?;
            let ask = Step::named(name, &serde_json::json!({"notes": []}));
            let steps = vec![
                ask.external(Duration::from_secs(86_400)),
                Step::new(note("after")),
            ];
            let run = kser.producer().launch_steps("test.External", steps).await?;
            let delivery = outside.receive(Room::records(1)).await?.remove(0);
            let message = Message::decode(delivery.record.payload.as_deref().unwrap())?;
            let _ = delivery.ticket.settle(Vec::new()).await;
            let waited = run.wait_timeout(Duration::from_secs(20 * 60)).await;
            assert!(
                matches!(waited, Err(Error::TimedOut { .. })),
                "{name} {waited:?}"
            );
            let letters = kser.dead_letters("test").await?;
            let mut letters = letters;
            let letter = tokio::time::timeout(Duration::from_secs(1), letters.next()).await;
            assert!(letter.is_err(), "{name}: a dead letter");
            let answer = Outcome::text("answer");
            kser.producer().report(&message, &answer).await?;
            assert_eq!(run.result().await?.message(), "after");
            consumer.stop().await?;
        }
    }
    Ok(())
}
