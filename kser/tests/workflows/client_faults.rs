//! What senders and waiters are told when the transport refuses, fails, or does half of it.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{Diary, note, noting};
use crate::faulty::{Deaf, Fault, Faulty, Loss};
use kser::memory::{MemoryStore, MemoryTransport};
use kser::{Client, Error, Status, Step};
use tokio::time::sleep;

async fn stored(faulty: &Faulty) -> Client {
    let clock = faulty.clock();
    let store = MemoryStore::with_clock(clock);
    Client::builder(faulty.clone())
        .store(store)
        .clock(clock)
        .build()
        .await
        .unwrap()
}

async fn carried(faulty: &Faulty) -> Client {
    Client::builder(faulty.clone())
        .clock(faulty.clock())
        .build()
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_of_many_gets_its_own_answer() -> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    let kser = carried(&faulty).await;
    let producer = kser.producer();
    let large = "x".repeat(1_000_001);
    let sends = [
        producer.send(note("a")).with_id("one"),
        producer.send(note(&large)).with_id("two"),
        producer.send(note("c")).with_id("three").with_topic("gone"),
        producer.send(note("d")).with_id("four"),
    ];
    faulty.fail(Fault::Topic("gone"));
    let answers = producer.send_all(sends).await;
    assert_eq!(answers[0].as_ref().unwrap().as_str(), "one");
    assert!(matches!(answers[1], Err(Error::TooLarge { .. })));
    assert!(matches!(answers[2], Err(Error::MissingTopic { .. })));
    assert_eq!(answers[3].as_ref().unwrap().as_str(), "four");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn many_that_cannot_be_sent_all_say_so() -> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    let kser = carried(&faulty).await;
    let producer = kser.producer();
    faulty.fail(Fault::Ensure);
    let sends = ["a", "b", "c"].map(|text| producer.send(note(text)));
    for answer in producer.send_all(sends).await {
        assert!(answer.is_err(), "nothing was sent: {answer:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_retention_is_refused_among_many_too() -> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    faulty.keep("test", Duration::from_secs(3600));
    let kser = carried(&faulty).await;
    let producer = kser.producer();
    let day = Duration::from_secs(86_400);
    let alone = producer.send(note("a")).with_delay(day).await;
    assert!(matches!(alone, Err(Error::Invalid { .. })), "{alone:?}");
    let sends = [
        producer.send(note("b")).with_delay(day),
        producer.send(note("c")).with_delay(Duration::from_secs(60)),
    ];
    let answers = producer.send_all(sends).await;
    assert!(
        matches!(answers[0], Err(Error::Invalid { .. })),
        "{answers:?}"
    );
    assert!(answers[1].is_ok(), "{answers:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_refused_second_launch_leaves_the_run_of_the_first_alone() -> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    let kser = stored(&faulty).await;
    let launch = || {
        let steps = vec![Step::new(note("a"))];
        let launch = kser.producer().launch_steps("test.Twice", steps);
        launch.with_id("twice")
    };
    let run = launch().await?;
    faulty.fail(Fault::Topic("test"));
    let second = launch().await.unwrap_err();
    assert!(matches!(second, Error::MissingTopic { .. }), "{second}");
    faulty.heal();
    assert_eq!(run.status().await?.status, Status::Running);
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    run.result().await?;
    assert_eq!(diary.read(), ["a"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_is_certainly_refused_leaves_no_run() -> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    let kser = stored(&faulty).await;
    faulty.fail(Fault::Topic(""));
    let steps = vec![Step::new(note("a"))];
    let launch = kser.producer().launch_steps("test.Refused", steps);
    let refused = launch.with_id("refused").await.unwrap_err();
    assert!(matches!(refused, Error::MissingTopic { .. }), "{refused}");
    let status = kser.runs().status(&"refused".into()).await;
    assert!(
        matches!(status, Err(Error::UnknownRun { .. })),
        "{status:?}"
    );
    Ok(())
}

/// The step is out, so the run goes on: launching its id again would run it a second time where its state is carried.
#[tokio::test(start_paused = true)]
async fn a_launch_of_which_an_event_was_refused_is_done() -> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    for kser in [stored(&faulty).await, carried(&faulty).await] {
        let diary = Diary::default();
        let consumer = kser.consumer(noting(&diary)).spawn();
        sleep(Duration::from_secs(1)).await;
        faulty.fail(Fault::Topic("kser.events"));
        let steps = vec![Step::new(note("a"))];
        let launch = kser.producer().launch_steps("test.Half", steps);
        launch.await?;
        faulty.heal();
        sleep(Duration::from_secs(120)).await;
        assert_eq!(diary.read(), ["a"]);
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_launch_whose_fate_is_unknown_says_so_and_its_id_can_be_launched_again()
-> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    let kser = stored(&faulty).await;
    let launch = || {
        let steps = vec![Step::new(note("a"))];
        kser.producer().launch_steps("test.Unknown", steps)
    };
    faulty.fail(Fault::Silence);
    let Err(Error::MaybeSent { id, .. }) = launch().await else {
        panic!("nobody knows whether it was sent");
    };
    faulty.heal();
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    launch().with_id(id).await?.result().await?;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(diary.read(), ["a"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_fork_that_is_refused_leaves_no_run_and_one_of_unknown_fate_has_an_id()
-> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    let kser = stored(&faulty).await;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    let steps = vec![Step::new(note("a"))];
    let run = kser.producer().launch_steps("test.Fork", steps).await?;
    run.result().await?;
    faulty.fail(Fault::Topic(""));
    let refused = run.fork(1).await.unwrap_err();
    assert!(matches!(refused, Error::MissingTopic { .. }), "{refused}");
    let runs = kser.runs().list(&kser::run::RunFilter::default()).await?;
    assert_eq!(runs.rows.len(), 1);
    faulty.fail(Fault::Silence);
    let Err(Error::MaybeSent { id, .. }) = run.fork(1).await else {
        panic!("nobody knows whether it begins");
    };
    faulty.heal();
    // A sweep finds it.
    let state = kser.runs().wait(&id).await?;
    assert_eq!(state.status, Status::Success);
    assert_eq!(diary.read(), ["a", "a"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_stored_step_that_its_topic_does_not_take_ends_its_run_in_a_sweep() -> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    let kser = stored(&faulty).await;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    // It is sent again when nobody has reported its end.
    let external = Step::new(note("a")).external(Duration::from_secs(3600));
    let external = external.with_attempts(2);
    for step in [Step::new(note("a")), external] {
        faulty.fail(Fault::Silence);
        let launch = kser.producer().launch_steps("test.Small", vec![step]);
        let Err(Error::MaybeSent { id, .. }) = launch.await else {
            panic!("nobody knows whether it was sent");
        };
        faulty.fail(Fault::Small("test"));
        let state = kser.runs().wait(&id).await?;
        assert_eq!(state.status, Status::Failed);
        let error = state.outcome.error().unwrap().to_string();
        assert!(error.contains("topic test does not take"), "{error}");
        // Someone raises the limit.
        faulty.heal();
        kser.runs().resume(&id).await?;
    }
    sleep(Duration::from_secs(60)).await;
    assert_eq!(diary.read(), ["a", "a"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn what_a_topic_does_not_take_is_refused_and_not_perhaps_sent() -> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    faulty.fail(Fault::Small("test"));
    for kser in [stored(&faulty).await, carried(&faulty).await] {
        let sent = kser.producer().send(note("a")).await;
        assert!(
            matches!(sent, Err(Error::TooLargeForTopic { .. })),
            "{sent:?}"
        );
    }
    let kser = stored(&faulty).await;
    let steps = vec![Step::new(note("a"))];
    let launched = kser.producer().launch_steps("test.Small", steps).await;
    assert!(
        matches!(launched, Err(Error::TooLargeForTopic { .. })),
        "{launched:?}"
    );
    let runs = kser.runs().list(&kser::run::RunFilter::default()).await?;
    assert_eq!(runs.rows, []);
    Ok(())
}

/// The row is there, and a sweep begins the run in time.
#[tokio::test(start_paused = true)]
async fn a_launch_whose_row_may_be_there_may_have_been_sent() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let store = Deaf::new(MemoryStore::with_clock(clock));
    let kser = Client::builder(transport)
        .store(store.clone())
        .clock(clock)
        .build()
        .await?;
    let launch = || {
        let steps = vec![Step::new(note("a"))];
        kser.producer().launch_steps("test.Deaf", steps)
    };
    store.lose(Loss::InsertAnswers);
    let Err(Error::MaybeSent { id, .. }) = launch().await else {
        panic!("nobody knows whether it is there");
    };
    store.lose(Loss::Nothing);
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    launch().with_id(id).await?.result().await?;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(diary.read(), ["a"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_wait_outlives_events_that_cannot_be_received_for_a_while() -> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    let kser = carried(&faulty).await;
    let launch = |name: &str| {
        let steps = vec![Step::new(note(name))];
        kser.producer().launch_steps("test.Wait", steps)
    };
    let run = launch("a").await?;
    faulty.fail(Fault::Receive { temporary: true });
    let waited = run.wait_timeout(Duration::from_secs(5)).await.unwrap_err();
    assert!(matches!(waited, Error::TimedOut { .. }), "{waited}");
    faulty.heal();
    let consumer = kser.consumer(noting(&Diary::default())).spawn();
    run.result().await?;
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_its_events_can_never_come() -> Result<(), Error> {
    let faulty = Faulty::new(MemoryTransport::new());
    let kser = carried(&faulty).await;
    let launch = |name: &str| {
        let steps = vec![Step::new(note(name))];
        kser.producer().launch_steps("test.Wait", steps)
    };
    let run = launch("a").await?;
    faulty.fail(Fault::Receive { temporary: false });
    let waited = run.wait_timeout(Duration::from_secs(60)).await.unwrap_err();
    assert!(matches!(waited, Error::Closed), "{waited}");
    // A later launch subscribes again.
    faulty.heal();
    let consumer = kser.consumer(noting(&Diary::default())).spawn();
    launch("b").await?.result().await?;
    consumer.stop().await
}
