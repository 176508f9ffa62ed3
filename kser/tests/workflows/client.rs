//! What producers, runs and their owners see: outputs, external steps, hooks, events, dead letters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{self, Diary, Doomed, Flaky, Game, Note, both, client, note, noting};
use kser::backend::{Interest, Room, Transport};
use kser::client::Mode;
use kser::memory::MemoryTransport;
use kser::message::Topic;
use kser::operation::StatusChange;
use kser::run::RunEvent;
use kser::{
    Context, Error, IntoTask, Operation, Outcome, Registry, RetryPolicy, Status, Step, TaskError,
};
use tokio::time::sleep;

async fn game(game: Game) -> Result<Vec<Step>, TaskError> {
    Ok(game
        .notes
        .iter()
        .map(|text| Step::new(note(text)))
        .collect())
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_sends_goes_out_once_and_only_if_it_succeeds() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let sends = |ctx: Context, flaky: Flaky| async move {
            let task = ctx.send(note(&format!("sent {}", flaky.text)))?;
            let run = ctx.launch(Game {
                notes: vec!["launched".into()],
            })?;
            match ctx.attempt() <= flaky.failures {
                true => Err(TaskError::new("Flaky", "not yet")),
                false => Ok(format!("{task} {run}")),
            }
        };
        let retry = RetryPolicy::exponential(5, Duration::from_secs(1));
        let registry = noting(&diary)
            .into_builder()
            .task(sends.with_retry(retry))
            .operation(game)
            .build()?;
        let consumer = kser.consumer(registry).spawn();
        let flaky = Flaky {
            text: "x".into(),
            failures: 3,
        };
        let run = kser
            .producer()
            .launch_steps("test.Sends", vec![Step::new(flaky)])
            .await?;
        let ids = run.result().await?;
        sleep(Duration::from_secs(120)).await;
        let mut seen = diary.read();
        seen.sort();
        assert_eq!(seen, ["launched", "sent x"]);
        let step = run.id().step(1);
        assert_eq!(
            ids.message(),
            format!("{} {}", step.output(0), step.output(1))
        );
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_task_sends_is_dropped() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let fails = |ctx: Context, _: Doomed| async move {
            ctx.send(note("never"))?;
            Err::<(), _>(TaskError::new("Doomed", "no").with_code(422))
        };
        let consumer = kser
            .consumer(noting(&diary).into_builder().task(fails).build()?)
            .spawn();
        let run = kser
            .producer()
            .launch_steps("test.Fails", vec![Step::new(Doomed {})])
            .await?;
        assert_eq!(run.wait().await?.status, Status::Failed);
        sleep(Duration::from_secs(120)).await;
        assert!(diary.read().is_empty());
        consumer.stop().await?;
    }
    Ok(())
}

struct Watched(Diary);

impl Operation for Watched {
    type Params = Game;
    const STATUS_HOOK: bool = true;

    async fn build_tasks(&self, _: &Context, params: Game) -> Result<Vec<Step>, TaskError> {
        game(params).await
    }

    async fn on_status(&self, change: &StatusChange) -> Result<(), TaskError> {
        self.0.note(format!("{} -> {}", change.from, change.to));
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_owner_of_an_operation_is_told_of_changes() -> Result<(), Error> {
    for kser in both().await {
        let (told, diary) = (Diary::default(), Diary::default());
        let owner = Registry::new().operation(Watched(told.clone())).build()?;
        let owner = kser.consumer(owner).spawn();
        // The steps run elsewhere.
        let steps = kser.consumer(noting(&diary)).with_topics(["work"])?.spawn();
        let launch = kser.producer().launch(Game { notes: Vec::new() });
        let run = launch.await?;
        assert_eq!(run.wait().await?.status, Status::Failed);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(told.read(), ["PENDING -> FAILED"]);
        steps.stop().await?;
        owner.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn events_tell_every_change_and_every_step_if_asked_for() -> Result<(), Error> {
    for steps_too in [false, true] {
        let transport = MemoryTransport::new();
        let kser = kser::Client::builder(transport.clone()).build().await?;
        let interest = Interest::everything(vec![Topic::new("kser.events")?]);
        let mut events = transport.subscribe(interest).await?;
        let consumer = kser
            .consumer(
                noting(&Diary::default())
                    .into_builder()
                    .operation(game)
                    .build()?,
            )
            .spawn();
        let launch = kser.producer().launch(Game {
            notes: vec!["a".into(), "b".into()],
        });
        let run = match steps_too {
            true => launch.with_step_events().await?,
            false => launch.await?,
        };
        run.result().await?;
        let mut seen = Vec::new();
        while seen
            .last()
            .is_none_or(|event: &RunEvent| !event.status.is_terminal())
        {
            for delivery in events.receive(Room::records(10)).await? {
                seen.push(RunEvent::decode(
                    delivery.record.payload.as_deref().unwrap(),
                )?);
                let _ = delivery.ticket.settle(Vec::new()).await;
            }
        }
        let seen: Vec<_> = seen
            .iter()
            .map(|e| (e.from, e.status, e.position))
            .collect();
        let (pending, running, success) = (Status::Pending, Status::Running, Status::Success);
        let mut expected = vec![(pending, running, 1)];
        if steps_too {
            expected.push((running, running, 2));
        }
        expected.push((running, success, 3));
        assert_eq!(seen, expected);
        events.close().await?;
        consumer.stop().await?;
    }
    Ok(())
}

/// Fail, dead letter, replay, twenty times.
#[tokio::test(start_paused = true)]
async fn a_letter_that_is_replayed_twenty_times_grows_no_headers() -> Result<(), Error> {
    for kser in both().await {
        let (fails, attempts) = (Arc::new(AtomicBool::new(true)), Diary::default());
        let (failing, seen) = (Arc::clone(&fails), attempts.clone());
        let task = move |ctx: Context, _: Doomed| {
            seen.note(format!("#{}", ctx.attempt()));
            let failing = failing.load(Ordering::Relaxed);
            async move {
                match failing {
                    true => Err(TaskError::new("Doomed", "no way").with_code(422)),
                    false => Ok(()),
                }
            }
        };
        let consumer = kser.consumer(Registry::new().task(task).build()?).spawn();
        let mut letters = kser.dead_letters("test").await?;
        let run = kser
            .producer()
            .launch_steps("test.Round", vec![Step::new(Doomed {})])
            .await?;
        assert_eq!(run.wait().await?.status, Status::Failed);
        let mut sizes = Vec::new();
        for round in 0..20 {
            let letter = letters.next().await?;
            let record = letter.record();
            sizes.push((record.headers.len(), record.size()));
            assert_eq!(letter.attempts(), 1, "attempts begin anew");
            assert_eq!(letter.run(), Some((run.id().clone(), 1)));
            assert_eq!(letter.code(), Some(422));
            let origin = letter.origin().unwrap();
            assert_eq!((origin.0.as_str(), origin.1.offset), ("test", 0));
            if round == 19 {
                fails.store(false, Ordering::Relaxed);
            }
            letter.replay().await?;
        }
        assert_eq!(run.result().await?, run.result().await?);
        let (first, last) = (sizes[1], sizes[19]);
        assert_eq!(first.0, last.0);
        assert!(last.1 <= first.1 + 8, "{first:?} {last:?}");
        assert_eq!(attempts.read(), ["#1"].repeat(21));
        letters.close().await?;
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_step_is_retried_and_skipped_by_its_id() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let doomed = |_: Doomed| async { Err::<(), _>(TaskError::new("Doomed", "no").with_code(422)) };
    let consumer = kser
        .consumer(noting(&diary).into_builder().task(doomed).build()?)
        .spawn();
    let steps = vec![Step::new(Doomed {}), Step::new(note("b"))];
    let run = kser.producer().launch_steps("test.Verbs", steps).await?;
    run.wait().await?;
    let (first, second) = (run.id().step(1), run.id().step(2));
    let other = run.retry_step(&second).await.unwrap_err();
    assert!(common::told(&other).contains("no such step"), "{other}");
    run.retry_step(&first).await?;
    assert_eq!(run.wait().await?.status, Status::Failed);
    let failure = Outcome::default().with_code(500);
    let refused = run.skip_step(&first, failure).await.unwrap_err();
    assert!(
        common::told(&refused).contains("must be a success"),
        "{refused}"
    );
    run.skip_step(&first, Outcome::text("skipped")).await?;
    assert_eq!(run.result().await?.message(), "b");
    assert_eq!(run.outcomes().await?[0].message(), "skipped");
    assert!(run.purge().await?);
    let gone = run.status().await.unwrap_err();
    assert!(matches!(gone, Error::UnknownRun { .. }));
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_wait_may_have_a_limit() -> Result<(), Error> {
    for kser in both().await {
        let run = kser
            .producer()
            .launch_steps("test.Wait", vec![Step::new(note("a"))])
            .await?;
        let waited = run.wait_timeout(Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(waited, Error::TimedOut { .. }));
        let consumer = kser.consumer(noting(&Diary::default())).spawn();
        run.result().await?;
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_prefix_keeps_tenants_apart() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let mut tenants = Vec::new();
    for prefix in ["a.", "b."] {
        let routes = kser::client::Routes::new().with_prefix(prefix)?;
        let kser = kser::Client::builder(transport.clone())
            .routes(routes)
            .build()
            .await?;
        let diary = Diary::default();
        let consumer = kser.consumer(noting(&diary)).spawn();
        let run = kser
            .producer()
            .launch_steps("test.Run", vec![Step::new(note(prefix))])
            .await?;
        run.result().await?;
        tenants.push((prefix, diary, consumer));
    }
    for (prefix, diary, consumer) in tenants {
        assert_eq!(diary.read(), [prefix]);
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_delayed_task_waits() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    kser.producer()
        .send(note("later"))
        .with_delay(Duration::from_secs(60))
        .await?;
    kser.producer().send(note("now")).await?;
    sleep(Duration::from_secs(59)).await;
    assert_eq!(diary.read(), ["now"]);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(diary.read(), ["now", "later"]);
    consumer.stop().await
}

#[tokio::test]
async fn a_url_that_leads_nowhere_says_so() {
    for (url, expected) in [
        ("", "it has no scheme"),
        ("memory", "it has no scheme"),
        ("memory://?prefx=a", "unknown option \"prefx\""),
        ("memory://?prefix=a b", "characters other than"),
        ("smoke://signals", "the scheme \"smoke\" is not supported"),
    ] {
        let error = kser::connect(url).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{url}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_and_the_trace_ride_along() -> Result<(), Error> {
    for kser in both().await {
        let diary = Diary::default();
        let seen = diary.clone();
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let task = move |ctx: Context, _: Note| {
            let tenant = ctx.metadata("tenant").unwrap().as_str().to_owned();
            seen.note(format!("{tenant} {}", ctx.traceparent().unwrap()));
            async {}
        };
        let consumer = kser
            .consumer(Registry::new().task(task).operation(game).build()?)
            .spawn();
        let launch = kser.producer().launch(Game {
            notes: vec!["a".into(), "b".into()],
        });
        let launch = launch.with_metadata("tenant", "acme");
        let launch = launch.with_metadata("tracing", &serde_json::json!({"traceparent": trace}));
        launch.await?.result().await?;
        assert_eq!(
            diary.read(),
            [format!("\"acme\" {trace}"), format!("\"acme\" {trace}")]
        );
        consumer.stop().await?;
    }
    Ok(())
}
