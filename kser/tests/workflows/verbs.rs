//! Verbs that cannot be done say why, and send nothing.

use std::time::Duration;

use crate::common::{self, Diary, client, note, noting, told};
use kser::client::{Clock, Mode};
use kser::memory::MemoryClock;
use kser::run::{RunFilter, RunId, RunVerb};
use kser::{Error, Outcome, Status, Step};

#[tokio::test(start_paused = true)]
async fn without_a_store_verbs_say_so_and_send_nothing() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let run = kser
        .producer()
        .launch_steps("test.Run", vec![Step::new(note("a"))])
        .await?;
    let (runs, id) = (kser.runs(), run.id().clone());
    let refused = [
        run.cancel().await,
        run.resume().await,
        run.retry_step(&"s".into()).await,
        run.skip_step(&"s".into(), Outcome::default()).await,
        run.fork(1).await.map(|_| ()),
        run.purge().await.map(|_| ()),
        run.outcomes().await.map(|_| ()),
        runs.status(&id).await.map(|_| ()),
        runs.wait(&id).await.map(|_| ()),
        runs.list(&RunFilter::default()).await.map(|_| ()),
        runs.count(&RunFilter::default(), 1).await.map(|_| ()),
        runs.attempts(&id, None, 1).await.map(|_| ()),
        runs.info(&id).await.map(|_| ()),
        runs.latest_attempts(&id, 1).await.map(|_| ()),
        runs.find("r", 1).await.map(|_| ()),
        runs.check(&id, &RunVerb::Cancel).await.map(|_| ()),
        runs.check_purge(&id).await,
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::NeedsStore { .. }), "{error}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn cancelling_twice_is_no_error() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let steps = vec![Step::new(note("a"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    run.cancel().await?;
    let before = kser.runs().list(&RunFilter::default()).await?;
    run.cancel().await?;
    assert_eq!(kser.runs().list(&RunFilter::default()).await?, before);
    assert_eq!(run.status().await?.status, Status::Cancelled);
    // Also a run that has ended otherwise.
    let ended = kser
        .producer()
        .launch_steps("test.Run", vec![Step::new(note("b"))]);
    let ended = ended.await?;
    let consumer = kser.consumer(noting(&Diary::default())).spawn();
    ended.result().await?;
    let refused = ended.cancel().await;
    assert!(
        matches!(refused, Err(Error::Rejected { .. })),
        "{refused:?}"
    );
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_is_an_error_of_its_own() {
    let runs = client(Mode::Stored).await.runs();
    let id = "nobody".into();
    for asked in [
        runs.status(&id).await.map(|_| ()),
        runs.cancel(&id).await,
        runs.resume(&id).await,
    ] {
        assert_eq!(told(&asked.unwrap_err()), "no such operation: nobody");
    }
}

/// Each handle answers, however many runs have ended since; a run that failed can be repaired, also by its id.
#[tokio::test(start_paused = true)]
async fn results_are_kept_for_live_handles() -> Result<(), Error> {
    let kser = kser::connect("memory://").await?;
    let bad = |_: common::Doomed| async {
        Err::<(), _>(kser::TaskError::new("Doomed", "no").with_code(422))
    };
    let registry = noting(&Diary::default()).into_builder().task(bad).build()?;
    let consumer = kser.consumer(registry).spawn();
    let producer = kser.producer();
    let launch = |step: Step| producer.launch_steps("test.Run", vec![step]);
    let failed = launch(Step::new(common::Doomed {})).await?;
    let failed_id = failed.id().clone();
    assert!(failed.result().await.is_err());
    drop(failed);
    let first = launch(Step::new(note("first"))).await?;
    for _ in 0..10_200 {
        launch(Step::new(note("x"))).await?;
    }
    let last = launch(Step::new(note("last"))).await?;
    assert_eq!(last.result().await?.message(), "last");
    assert_eq!(first.result().await?.message(), "first");
    let id = first.id().clone();
    drop(first);
    launch(Step::new(note("x"))).await?.result().await?;
    kser.runs().status(&id).await?;
    kser.runs().resume(&failed_id).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let health = consumer.handle().health().store.expect("there is a store");
    assert_eq!(health.forgotten, 0);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_failure_names_its_task() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let bad = |_: common::Doomed| async {
        Err::<(), _>(kser::TaskError::new("Doomed", "no").with_code(422))
    };
    let consumer = kser
        .consumer(kser::Registry::new().task(bad).build()?)
        .spawn();
    let steps = vec![Step::new(common::Doomed {})];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    let state = run.wait().await?;
    assert_eq!(state.outcome.uuid(), Some(&run.id().step(1)));
    let attempts = kser.runs().all_attempts(run.id()).await?;
    assert_eq!(attempts[0].outcome.uuid(), Some(&run.id().step(1)));
    consumer.stop().await
}

/// An operator's page prints these, or sends them as JSON.
#[tokio::test(start_paused = true)]
async fn a_run_its_attempts_and_the_health_can_be_printed() -> Result<(), Box<dyn std::error::Error>>
{
    let kser = client(Mode::Stored).await;
    let bad = |_: common::Doomed| async {
        Err::<(), _>(kser::TaskError::new("Doomed", "no").with_code(422))
    };
    let consumer = kser
        .consumer(kser::Registry::new().task(bad).build()?)
        .spawn();
    let steps = vec![Step::new(common::Doomed {})];
    let launch = kser.producer().launch_steps("test.Run", steps);
    let run = launch.with_id("order-7").await?;
    let state = run.wait().await?;
    assert_eq!(
        state.to_string(),
        "order-7 FAILED step 1 of 1: Doomed (422): no"
    );
    let json = serde_json::to_value(&state)?;
    assert_eq!(
        (&json["id"], &json["status"], &json["steps"]),
        (&"order-7".into(), &"FAILED".into(), &1.into())
    );

    let listed = kser.runs().list(&RunFilter::default()).await?;
    let listed = &listed.rows[0];
    assert_eq!(listed.status, Status::Failed);
    let line = listed.to_string();
    let changed = listed.updated;
    assert_eq!(
        line,
        format!("order-7 test.Run FAILED step 1 of 1, changed {changed}")
    );
    let json = serde_json::to_value(listed)?;
    assert_eq!(
        (&json["status"], &json["steps"]),
        (&"FAILED".into(), &1.into())
    );
    let info = kser.runs().info(run.id()).await?;
    assert_eq!(info.to_string(), line);
    let json = serde_json::to_value(&info)?;
    assert_eq!(json["progress"]["status"], "FAILED");
    let launch: serde_json::Value = serde_json::from_str(json["launch"].as_str().ok_or("a text")?)?;
    assert_eq!(launch["uuid"], "order-7");

    let attempts = serde_json::to_value(kser.runs().all_attempts(run.id()).await?)?;
    assert_eq!(attempts[0]["outcome"]["retval"]["error"]["code"], 422);
    let health = serde_json::to_value(consumer.handle().health())?;
    assert_eq!(
        (&health["state"], &health["paused"]),
        (&"running".into(), &false.into())
    );
    consumer.stop().await?;
    Ok(())
}

/// What is shown of a client may end in a log.
#[tokio::test(start_paused = true)]
async fn a_connection_shows_no_payloads() -> Result<(), Error> {
    let kser = kser::connect("memory://").await?;
    kser.producer().send(note("hunter2")).await?;
    assert!(!format!("{kser:?}").contains("hunter2"));
    let dead = kser.dead_letters("test").await?;
    assert!(!format!("{dead:?}").contains("hunter2"));
    Ok(())
}

#[tokio::test]
async fn what_is_empty_is_refused() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Nameless {}
    // The derive refuses this name.
    impl kser::Entrypoint for Nameless {
        const PATH: &'static str = "";
    }
    let registry = kser::Registry::new().task(|_: Nameless| async {});
    let refused = registry.build();
    assert!(matches!(refused, Err(Error::Invalid { .. })));
    let kser = client(Mode::Stored).await;
    let steps = vec![Step::new(note("a"))];
    let launch = kser.producer().launch_steps("test.Run", steps).with_id("");
    assert!(matches!(launch.await, Err(Error::Invalid { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_run_is_found_by_its_id_without_a_store() -> Result<(), Error> {
    let kser = client(Mode::AtLeastOnce).await;
    let (runs, before) = (kser.runs(), MemoryClock::new().now());
    let steps = vec![Step::new(note("a")), Step::new(note("b"))];
    let launched = kser.producer().launch_steps("test.Run", steps).await?;
    let id = launched.id().clone();
    // The handle is gone, as after a restart of the process that launched the run.
    drop(launched);
    let waiting = {
        let (runs, id) = (runs.clone(), id.clone());
        tokio::spawn(async move { runs.wait_since(&id, before).await })
    };
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished(), "the run has not ended");
    let consumer = kser.consumer(noting(&Diary::default())).spawn();
    let ended = waiting.await.unwrap()?;
    assert_eq!(
        (ended.status, ended.outcome.message()),
        (Status::Success, "b")
    );
    assert_eq!(runs.wait_since(&id, before).await?, ended);
    let unknown = RunId::from("no such run");
    for (id, from) in [
        (&unknown, before),
        (&id, MemoryClock::new().now() + Duration::from_secs(1)),
    ] {
        let missing = runs.wait_since(id, from).await;
        assert!(
            matches!(missing, Err(Error::UnknownRun { .. })),
            "{missing:?}"
        );
    }
    let mut events = kser.events(before).await?;
    let mut told = Vec::new();
    while let Some(event) = events.next_past().await? {
        assert_eq!(event.run, id);
        told.push(event.status);
    }
    assert_eq!(told, [Status::Running, Status::Success]);
    let again = kser
        .producer()
        .launch_steps("test.Run", vec![Step::new(note("c"))]);
    let again = again.await?;
    assert_eq!(&events.next().await?.run, again.id());
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_verb_keeps_its_actor_and_its_reason() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let steps = vec![Step::new(note("a")), Step::new(note("b"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    let (runs, id) = (kser.runs(), run.id());
    runs.by("ada", "too early").cancel(id).await?;
    runs.by("grace", "now").resume(id).await?;
    let first = id.step(1);
    let skip = runs.by("ada", "by hand");
    skip.skip_step(id, &first, Outcome::text("done")).await?;
    // Without an actor a verb that ends no step has no row.
    run.cancel().await?;
    let attempts = runs.all_attempts(id).await?;
    let told: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            let by = attempt.by.as_ref().unwrap();
            let (verb, actor) = (by.verb.as_str(), by.actor.as_str());
            (
                attempt.position,
                attempt.status,
                verb,
                actor,
                by.reason.as_str(),
            )
        })
        .collect();
    let expected = [
        (1, Status::Cancelled, "cancel", "ada", "too early"),
        (1, Status::Running, "resume", "grace", "now"),
        (1, Status::Success, "skip step", "ada", "by hand"),
    ];
    assert_eq!(told, expected);
    let outcomes = runs.outcomes(id).await?;
    assert_eq!(outcomes.len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_too_long_is_refused_before_anything_is_written() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let launch = |bytes: usize| {
        let steps = vec![Step::new(note("a"))];
        let launch = kser.producer().launch_steps("test.Run", steps);
        launch.with_id("x".repeat(bytes))
    };
    let refused = launch(1025).await.unwrap_err();
    assert!(matches!(refused, Error::TooLarge { .. }), "{refused:?}");
    launch(1024).await?;
    let listed = kser.runs().list(&RunFilter::default()).await?;
    assert_eq!(listed.rows.len(), 1);
    Ok(())
}

/// A run that stands somewhere.
async fn standing(kser: &kser::Client, state: &str) -> Result<kser::Run, Error> {
    let first = match state {
        "failed" => Step::new(common::Doomed {}),
        "external" => Step::new(note("a")).external(Duration::from_secs(60)),
        _ => Step::new(note("a")),
    };
    let steps = vec![first, Step::new(note("b"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    let bad = |_: common::Doomed| async { Err::<(), _>(kser::TaskError::new("Doomed", "no")) };
    let registry = noting(&Diary::default()).into_builder().task(bad).build()?;
    match state {
        "failed" | "done" => {
            let consumer = kser.consumer(registry).spawn();
            run.wait().await?;
            consumer.stop().await?;
        }
        "cancelled" => run.cancel().await?,
        _ => {}
    }
    Ok(run)
}

/// A preview tells the effect of the verb, in each state.
#[tokio::test(start_paused = true)]
async fn a_verb_does_what_its_check_says() -> Result<(), Error> {
    let (mut allowed, mut refused) = (0, 0);
    for state in ["launched", "external", "failed", "cancelled", "done"] {
        for verb in 0..9 {
            let kser = client(Mode::Stored).await;
            let run = standing(&kser, state).await?;
            let (runs, id) = (kser.runs(), run.id());
            let bad = Outcome::from(&kser::TaskError::new("No", "no"));
            let verb = match verb {
                0 => RunVerb::Cancel,
                1 => RunVerb::Resume,
                2 => RunVerb::RetryStep(id.step(1)),
                3 => RunVerb::RetryStep(id.step(2)),
                4 => RunVerb::RetryStep(id.as_str().into()),
                5 => RunVerb::SkipStep(id.step(1), Outcome::text("by hand")),
                6 => RunVerb::SkipStep(id.step(1), bad),
                7 => RunVerb::Report(id.step(1), Outcome::text("from outside")),
                _ => RunVerb::Report(id.step(1), Outcome::text("x".repeat(2_000_000))),
            };
            let before = run.status().await?;
            let checked = runs.check(id, &verb).await;
            assert_eq!(run.status().await?, before, "a check changes nothing");
            let done = runs.act(id, &verb).await;
            let after = run.status().await?;
            match (&checked, &done) {
                (Ok(checked), Ok(())) => {
                    allowed += 1;
                    assert_eq!(*checked, after, "{state}: {verb}");
                }
                (Err(checked), Err(done)) => {
                    refused += 1;
                    assert_eq!(told(checked), told(done), "{state}: {verb}");
                }
                _ => panic!("{state}: {verb}: {checked:?}, then {done:?}"),
            }
            let (may_purge, purged) = (runs.check_purge(id).await, runs.purge(id).await);
            assert_eq!(may_purge.is_ok(), purged.is_ok(), "{state}: purge");
        }
    }
    assert!(allowed > 10 && refused > 10, "{allowed} and {refused}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn runs_are_found_and_their_latest_attempts_read() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let run = standing(&kser, "done").await?;
    let (runs, id) = (kser.runs(), run.id());
    assert_eq!(runs.find(&id.as_str()[..6], 10).await?, vec![id.clone()]);
    assert_eq!(runs.find("nothing", 10).await?, []);
    let all = runs.all_attempts(id).await?;
    assert_eq!(runs.latest_attempts(id, 1).await?, all[all.len() - 1..]);
    assert_eq!(runs.latest_attempts(id, 10).await?, all);
    let unknown = runs.latest_attempts(&"nobody".into(), 1).await;
    assert!(matches!(unknown, Err(Error::UnknownRun { .. })));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_task_and_an_operation_are_sent_by_name() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let consumer = kser.consumer(noting(&diary)).spawn();
    let params = kser::message::Object::new(&note("by name"))?;
    let name = <common::Note as kser::Entrypoint>::PATH;
    kser.producer().send_named(name, params.clone()).await?;
    let run = kser.producer().launch_named(name, params).await?;
    // There is no operation of this name: its dead letter comes after ten minutes.
    let ended = run.wait().await?;
    assert_eq!((ended.status, ended.steps), (Status::Failed, 0));
    assert_eq!(diary.read(), ["by name"]);
    consumer.stop().await
}
