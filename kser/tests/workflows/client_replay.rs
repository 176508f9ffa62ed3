//! A replay gives back what was given up, whoever asks for it.

#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{Diary, Doomed, note};
use crate::faulty::{Deaf, Loss};
use kser::backend::{Record, Transport};
use kser::dead_letter::DeadLetter;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::{Message, Topic};
use kser::{Client, Context, Error, IntoTask, Registry, RetryPolicy, Status, Step, TaskError};
use tokio::time::{sleep, timeout};

/// Clients of one transport, and to one store where there is one.
async fn pair(prefix: &str, stored: bool) -> [Client; 2] {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let store = Arc::new(MemoryStore::with_clock(clock));
    let mut pair = Vec::new();
    for _ in 0..2 {
        let transport = transport.clone();
        let routes = kser::client::Routes::new().with_prefix(prefix).unwrap();
        let kser = Client::builder(transport).clock(clock).routes(routes);
        let kser = match stored {
            true => kser.store(Arc::clone(&store)),
            false => kser,
        };
        pair.push(kser.build().await.unwrap());
    }
    pair.try_into().unwrap()
}

/// Fails while the switch is on.
fn failing(fails: &Arc<AtomicBool>, diary: &Diary) -> Registry {
    let (fails, diary) = (Arc::clone(fails), diary.clone());
    let task = move |ctx: Context, _: Doomed| {
        diary.note(format!("#{}", ctx.attempt()));
        let fails = fails.load(Ordering::Relaxed);
        async move {
            match fails {
                true => Err(TaskError::new("Doomed", "no")),
                false => Ok("at last"),
            }
        }
    };
    let retry = RetryPolicy::exponential(2, Duration::from_secs(1));
    Registry::new()
        .task(task.with_retry(retry))
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn user_headers_key_and_payload_are_the_same_in_round_twenty() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let kser = Client::builder(transport.clone())
        .clock(transport.clock())
        .build()
        .await?;
    let (fails, diary) = (Arc::new(AtomicBool::new(true)), Diary::default());
    let consumer = kser.consumer(failing(&fails, &diary)).spawn();
    let mut letters = kser.dead_letters("test").await?;
    let payload = r#"{ "uuid":"u",  "entrypoint":"test.Doomed", "params":{}, "more": 2.50 }"#;
    let users = vec![
        ("z".to_owned(), Some("1".into())),
        ("null".to_owned(), None),
        ("empty".to_owned(), Some("".into())),
        ("z".to_owned(), Some("2".into())),
        ("binary".to_owned(), Some(vec![0, 255].into())),
    ];
    let mut sent = Record::new(Topic::new("test")?, Some(payload.into())).with_key("k");
    sent.headers = users.clone();
    transport.publish(vec![sent]).await.unwrap();
    let mut ours = Vec::new();
    for round in 0..20 {
        let letter = letters.next().await?;
        let record = letter.record();
        assert_eq!(record.payload.as_deref().unwrap(), payload.as_bytes());
        assert_eq!(record.key.as_deref(), Some("k".as_bytes()));
        assert_eq!(record.headers[..users.len()], users);
        assert_eq!((letter.attempts(), letter.replays()), (2, round));
        assert_eq!(letter.origin().unwrap().0, "test");
        assert_eq!(letter.group().unwrap(), "kser.test");
        assert_eq!(letter.entrypoint().unwrap(), "test.Doomed");
        assert_eq!((letter.run(), letter.code()), (None, Some(500)));
        ours.push(record.headers.len());
        letter.replay().await?;
    }
    assert!(ours[1..].iter().all(|count| *count == ours[1]), "{ours:?}");
    letters.next().await?.discard().await?;
    assert_eq!(diary.read(), ["#1", "#2"].repeat(21));
    letters.close().await?;
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_handle_sees_the_end_after_a_replay_by_someone_else() -> Result<(), Error> {
    for (prefix, stored) in [("", true), ("", false), ("a.", true), ("a.", false)] {
        let [ours, theirs] = pair(prefix, stored).await;
        let (fails, diary) = (Arc::new(AtomicBool::new(true)), Diary::default());
        let consumer = ours.consumer(failing(&fails, &diary)).spawn();
        let steps = vec![Step::new(Doomed {})];
        let run = ours.producer().launch_steps("test.Run", steps).await?;
        assert_eq!(run.wait().await?.status, Status::Failed);
        fails.store(false, Ordering::Relaxed);
        let mut letters = theirs.dead_letters("test").await?;
        letters.next().await?.replay().await?;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(run.result().await?.message(), "at last");
        assert_eq!(diary.read(), ["#1", "#2", "#1"]);
        letters.close().await?;
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_letter_is_in_one_hand_at_a_time_and_kept_ones_come_again() -> Result<(), Error> {
    let [ours, theirs] = pair("", false).await;
    let consumer = ours
        .consumer(Registry::default())
        .with_topics(["test"])?
        .spawn();
    for text in ["not", "messages"] {
        ours.producer().send_bytes("test", text).await?;
    }
    let mut first = ours.dead_letters("test").await?;
    let mut second = theirs.dead_letters("test").await?;
    let (one, two) = tokio::try_join!(first.next(), second.next())?;
    assert_ne!(one.record().payload, two.record().payload);
    assert!(one.message().is_err());
    one.discard().await?;
    let kept = two.record().clone();
    two.keep();
    let limit = Duration::from_secs(60);
    tokio::select! {
        letter = first.next() => panic!("{letter:?} is in two hands"),
        letter = second.next() => panic!("{letter:?} comes again in this session"),
        () = sleep(limit) => {}
    };
    second.close().await?;
    let again = timeout(limit, first.next())
        .await
        .expect("it comes again")?;
    assert_eq!(*again.record(), kept);
    again.discard().await?;
    first.close().await?;
    consumer.stop().await
}

/// Each letter is returned once, whatever becomes of it, and also those behind one of the same key.
#[tokio::test(start_paused = true)]
async fn letters_are_listed_once_and_stay() -> Result<(), Error> {
    let [kser, _] = pair("", false).await;
    let (fails, diary) = (Arc::new(AtomicBool::new(true)), Diary::default());
    let consumer = kser.consumer(failing(&fails, &diary)).spawn();
    for id in ["a", "b", "c", "d", "e"] {
        let send = kser.producer().send(Doomed {}).with_id(id);
        send.with_key(if id < "d" { "one key" } else { id }).await?;
    }
    sleep(Duration::from_secs(60)).await;
    let id = |letter: &DeadLetter| letter.message().unwrap().uuid.to_string();
    let mut letters = kser.dead_letters("test").await?;
    let mut seen = vec![id(&letters.next().await?)];
    let three = letters.list(3).await?;
    assert_eq!(three.len(), 3);
    seen.extend(three.iter().map(id));
    drop(three);
    seen.extend(letters.list(100).await?.iter().map(id));
    seen.sort();
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    let more = timeout(Duration::from_secs(60), letters.next()).await;
    assert!(more.is_err(), "{more:?}");
    letters.close().await?;
    // All are there in the next session, of which some are settled, and one is still in hand at its end.
    let mut letters = kser.dead_letters("test").await?;
    let mut all = letters.list(100).await?;
    assert_eq!(all.len(), 5);
    fails.store(false, Ordering::Relaxed);
    for letter in all.drain(1..3) {
        letter.replay().await?;
    }
    let left = all.remove(0);
    letters.close().await?;
    assert!(matches!(left.replay().await, Err(Error::Lost)));
    drop(all);
    let mut letters = kser.dead_letters("test").await?;
    assert_eq!(letters.list(100).await?.len(), 3);
    letters.close().await?;
    consumer.stop().await
}

#[tokio::test]
async fn dead_letters_have_no_dead_letters() {
    let kser = kser::connect("memory://").await.unwrap();
    let refused = kser.dead_letters("test.dlt").await.unwrap_err();
    assert!(matches!(refused, Error::InvalidTopic { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn the_letter_of_a_stored_run_needs_its_store() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let kser = Client::builder(transport.clone())
        .store(MemoryStore::with_clock(clock))
        .clock(clock)
        .build()
        .await?;
    let (fails, diary) = (Arc::new(AtomicBool::new(true)), Diary::default());
    let consumer = kser.consumer(failing(&fails, &diary)).spawn();
    let steps = vec![Step::new(Doomed {}), Step::new(note("never"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    run.wait().await?;
    let elsewhere = Client::builder(transport).build().await?;
    let mut letters = elsewhere.dead_letters("test").await?;
    let letter = letters.next().await?;
    let message: Message = letter.message()?;
    assert_eq!(message.uuid, run.id().step(1));
    let refused = letter.replay().await.unwrap_err();
    assert!(matches!(refused, Error::NeedsStore { .. }), "{refused}");
    letters.close().await?;
    // It is still there.
    let mut letters = elsewhere.dead_letters("test").await?;
    letters.next().await?.discard().await?;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(diary.read(), ["#1", "#2"]);
    letters.close().await?;
    consumer.stop().await
}

/// A dead letter that fails again while all are replayed is another one, and is not replayed for ever.
#[tokio::test(start_paused = true)]
async fn each_dead_letter_that_the_filter_takes_is_replayed_once() -> Result<(), Error> {
    let [kser, _] = pair("", false).await;
    let (fails, diary) = (Arc::new(AtomicBool::new(true)), Diary::default());
    let consumer = kser.consumer(failing(&fails, &diary)).spawn();
    for key in ["a", "b", "c"] {
        kser.producer().send(Doomed {}).with_key(key).await?;
    }
    sleep(Duration::from_secs(60)).await;
    let mut letters = kser.dead_letters("test").await?;
    let taken = |letter: &DeadLetter| letter.record().key.as_deref() != Some(b"b");
    let report = timeout(Duration::from_secs(600), letters.replay_all(taken)).await;
    let report = report.unwrap()?;
    assert_eq!((report.replayed, report.skipped), (2, 1));
    assert!(
        report.failed.is_empty() && report.untried == 0,
        "{report:?}"
    );
    letters.close().await?;
    sleep(Duration::from_secs(60)).await;
    let mut letters = kser.dead_letters("test").await?;
    let mut replays = Vec::new();
    while let Some(letter) = letters.next_waiting().await? {
        replays.push(letter.replays());
    }
    replays.sort_unstable();
    assert_eq!(replays, [0, 1, 1]);
    letters.close().await?;
    consumer.stop().await
}

/// The dead letter of a run that was repaired otherwise holds back no other one, and stays.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_replayed_is_in_the_report() -> Result<(), Error> {
    let [kser, _] = pair("", true).await;
    let (fails, diary) = (Arc::new(AtomicBool::new(true)), Diary::default());
    let consumer = kser.consumer(failing(&fails, &diary)).spawn();
    let mut runs = Vec::new();
    for _ in 0..3 {
        let steps = vec![Step::new(Doomed {})];
        let run = kser.producer().launch_steps("test.Run", steps).await?;
        run.wait().await?;
        runs.push(run);
    }
    fails.store(false, Ordering::Relaxed);
    runs[1].resume().await?;
    assert_eq!(runs[1].wait().await?.status, Status::Success);
    let mut letters = kser.dead_letters("test").await?;
    let report = letters.replay_all(|_| true).await?;
    assert_eq!((report.replayed, report.skipped, report.untried), (2, 0, 0));
    let failed: Vec<_> = report.failed.iter().map(|failed| &failed.error).collect();
    assert!(matches!(failed[..], [Error::Rejected { .. }]), "{failed:?}");
    for run in &runs {
        let ended = timeout(Duration::from_secs(600), run.wait()).await;
        assert_eq!(ended.unwrap()?.status, Status::Success);
    }
    letters.close().await?;
    let mut letters = kser.dead_letters("test").await?;
    assert_eq!(letters.list(100).await?.len(), 1);
    letters.close().await?;
    consumer.stop().await
}

/// After an error of the store the rest is not tried, and comes again in the next session.
#[tokio::test(start_paused = true)]
async fn dead_letters_are_left_when_the_store_does_not_answer() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let store = Deaf::new(MemoryStore::with_clock(clock));
    let builder = Client::builder(transport).store(store.clone());
    let kser = builder.clock(clock).build().await?;
    let (fails, diary) = (Arc::new(AtomicBool::new(true)), Diary::default());
    let consumer = kser.consumer(failing(&fails, &diary)).spawn();
    for _ in 0..4 {
        let steps = vec![Step::new(Doomed {})];
        let run = kser.producer().launch_steps("test.Run", steps).await?;
        run.wait().await?;
    }
    let mut letters = kser.dead_letters("test").await?;
    let mut seen = 0;
    let report = letters.replay_all(|_| {
        seen += 1;
        if seen == 2 {
            store.lose(Loss::Reads);
        }
        true
    });
    let report = report.await?;
    assert_eq!((report.replayed, report.untried), (1, 2), "{report:?}");
    let failed: Vec<_> = report.failed.iter().map(|failed| &failed.error).collect();
    assert!(
        matches!(failed[..], [error] if error.is_temporary()),
        "{failed:?}"
    );
    letters.close().await?;
    store.lose(Loss::Nothing);
    let mut letters = kser.dead_letters("test").await?;
    let report = letters.replay_all(|letter| letter.replays() == 0).await?;
    assert_eq!((report.replayed, report.failed.len()), (3, 0), "{report:?}");
    letters.close().await?;
    consumer.stop().await
}

/// Tasks that fail all the time write dead letters without end, and a call ends all the same.
#[tokio::test(start_paused = true)]
async fn dead_letters_that_are_written_meanwhile_are_not_waited_for() -> Result<(), Error> {
    let [kser, theirs] = pair("", false).await;
    let doomed = |_: Doomed| async { Err::<(), _>(TaskError::permanent("Doomed", "no")) };
    let consumer = kser.consumer(Registry::new().task(doomed).build()?).spawn();
    let always = tokio::spawn(async move {
        loop {
            theirs.producer().send(Doomed {}).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    });
    sleep(Duration::from_secs(10)).await;
    let mut letters = kser.dead_letters("test").await?;
    let all = letters.replay_all(|_| true);
    let report = timeout(Duration::from_secs(60), all).await;
    let replayed = report.expect("it ends")?.replayed;
    assert!((10..=15).contains(&replayed), "{replayed} are replayed");
    always.abort();
    letters.close().await?;
    consumer.stop().await
}
