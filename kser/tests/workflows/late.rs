//! What comes late, or makes no sense: leases after a cancel, plans that are none.

use std::time::Duration;

use crate::common::{self, Diary, Note, client, note};
use bytes::Bytes;
use kser::backend::{Record, Transport};
use kser::client::Mode;
use kser::memory::MemoryTransport;
use kser::message::Topic;
use kser::{Error, Registry, Step};
use tokio::time::sleep;

const LEASE: Duration = Duration::from_secs(30);

/// Its handler does not listen, and may be at it for an hour: nobody may begin a second attempt beside it.
#[tokio::test(start_paused = true)]
async fn a_cancelled_attempt_keeps_its_lease_as_long_as_it_runs() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let slow = |_: Note| async {
        sleep(LEASE * 10).await;
        "done"
    };
    let registry = Registry::new().task(slow).build()?;
    let consumer = kser.consumer(registry).with_lease_duration(LEASE).spawn();
    let steps = vec![Step::new(note("a")), Step::new(note("b"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    sleep(LEASE / 2).await;
    run.cancel().await?;
    for _ in 0..4 {
        sleep(LEASE * 2).await;
        let refused = run.resume().await;
        assert!(
            matches!(refused, Err(Error::Rejected { .. })),
            "{refused:?}"
        );
    }
    sleep(LEASE * 3).await;
    run.resume().await?;
    assert_eq!(run.result().await?.message(), "done");
    assert_eq!(run.outcomes().await?.len(), 2, "each step ran once");
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_none_becomes_a_dead_letter_and_holds_nobody_up() -> Result<(), Error> {
    let plans = [
        "[]",
        "[5]",
        r#"[{"params":{}}]"#,
        r#"[{"entrypoint":"a","attempts":-1}]"#,
    ];
    for plan in plans {
        let transport = MemoryTransport::new();
        let kser = kser::Client::builder(transport.clone()).build().await?;
        let diary = Diary::default();
        let noted = diary.clone();
        let take = move |note: Note| {
            let noted = noted.clone();
            async move { noted.note(note.text) }
        };
        let consumer = kser.consumer(Registry::new().task(take).build()?).spawn();
        let envelope = format!(
            r#"{{"v":1,"run":"r","name":"test.Run","step":1,"of":2,"mode":"at-least-once","plan":{plan}}}"#
        );
        let text = format!(
            r#"{{"uuid":"u","entrypoint":"test.Note","params":{{"text":"bad"}},"metadata":{{"kser":{envelope}}}}}"#
        );
        let record = Record::new(Topic::new("test")?, Some(Bytes::from(text.clone())));
        transport.publish(vec![record]).await.unwrap();
        kser.producer().send(note("good")).await?;
        let mut letters = kser.dead_letters("test").await?;
        let letter = tokio::time::timeout(Duration::from_secs(60), letters.next()).await;
        let letter = letter.unwrap_or_else(|_| panic!("{plan}: no letter"))?;
        let error = letter.error().unwrap_or_default().to_owned();
        assert!(error.contains("step 2"), "{plan}: {error}");
        letter.discard().await?;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(diary.read(), ["good"], "{plan}");
        consumer.stop().await?;
    }
    Ok(())
}

/// Numbers of a message may be anything that fits: none ends the consumer.
#[tokio::test(start_paused = true)]
async fn numbers_at_their_limit_do_no_harm() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let kser = kser::Client::builder(transport.clone()).build().await?;
    let diary = Diary::default();
    let noted = diary.clone();
    let take = move |note: Note| {
        let noted = noted.clone();
        async move { noted.note(note.text) }
    };
    let consumer = kser.consumer(Registry::new().task(take).build()?).spawn();
    let numbers = [
        r#""step":4294967295,"of":4294967295"#,
        r#""step":1,"of":1,"attempts":4294967295"#,
        r#""step":1,"of":1,"uncounted":4294967295"#,
        r#""step":1,"of":1,"unreported":4294967295"#,
        r#""step":1,"of":1,"version":18446744073709551615"#,
    ];
    for numbers in numbers {
        let envelope =
            format!(r#"{{"v":1,"run":"r","name":"test.Run","mode":"at-least-once",{numbers}}}"#);
        let text = format!(
            r#"{{"uuid":"u","entrypoint":"test.Note","params":{{"text":"odd"}},"metadata":{{"kser":{envelope}}}}}"#
        );
        let record = Record::new(Topic::new("test")?, Some(Bytes::from(text)));
        transport.publish(vec![record]).await.unwrap();
    }
    kser.producer().send(note("good")).await?;
    sleep(LEASE).await;
    consumer.stop().await?;
    let mut letters = kser.dead_letters("test").await?;
    let mut errors = Vec::new();
    while let Ok(letter) = tokio::time::timeout(LEASE, letters.next()).await {
        let letter = letter?;
        errors.push(letter.error().unwrap_or_default().to_owned());
        letter.discard().await?;
    }
    errors.sort();
    assert!(
        errors[0].contains("attempts ended without a report"),
        "{errors:?}"
    );
    assert!(errors[1].contains("too many steps"), "{errors:?}");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert_eq!(diary.read(), ["odd", "odd", "odd", "good"]);
    Ok(())
}

/// Anybody can write headers: those that kser would not write count for nothing.
#[tokio::test(start_paused = true)]
async fn forged_headers_are_not_believed() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let kser = kser::Client::builder(transport.clone()).build().await?;
    let consumer = kser
        .consumer(Registry::new().task(|_: Note| async {}).build()?)
        .spawn();
    let unknown = r#"{"uuid":"u","entrypoint":"test.Unknown","params":{}}"#;
    let forged = |topic: &str, payload: &str, headers: &[(&str, &str)]| {
        let mut record = Record::new(Topic::new(topic).unwrap(), Some(payload.to_owned().into()));
        for (name, value) in headers {
            let value = Some(Bytes::from((*value).to_owned()));
            record.headers.push(((*name).to_owned(), value));
        }
        record
    };
    let far = "253370764800000";
    let records = vec![
        forged(
            "test",
            unknown,
            &[("kser-waits-since", far), ("kser-attempts", "-1")],
        ),
        forged("test", "no message", &[("kser-origin", "nowhere")]),
        forged(
            "test.dlt",
            "replayed",
            &[("kser-replay", "18446744073709551615")],
        ),
    ];
    transport.publish(records).await.unwrap();
    sleep(Duration::from_secs(15 * 60)).await;
    let mut letters = kser.dead_letters("test").await?;
    let all = letters.list(10).await?;
    assert_eq!(all.len(), 3, "{all:?}");
    for letter in all {
        let payload = letter.record().payload.clone().unwrap_or_default();
        if payload == "replayed" {
            assert_eq!(letter.replays(), 0);
            letter.replay().await?;
            continue;
        }
        let (topic, origin) = letter.origin().expect("where it was at first");
        assert_eq!(topic, "test");
        // Where the record itself was, not a delayed copy of it.
        let offset = i64::from(payload == "no message");
        assert_eq!(origin.offset, offset, "{letter:?}");
        letter.discard().await?;
    }
    letters.close().await?;
    sleep(Duration::from_secs(60)).await;
    let mut letters = kser.dead_letters("test").await?;
    let again = letters.list(10).await?;
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(again[0].replays(), 1);
    letters.close().await?;
    consumer.stop().await
}

/// As after the restore of a backup: the store knows less than the message.
#[tokio::test(start_paused = true)]
async fn a_message_ahead_of_its_run_is_a_dead_letter_in_the_end() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let diary = Diary::default();
    let consumer = kser.consumer(common::noting(&diary)).spawn();
    let ask = Step::named("outside.Ask", &serde_json::json!({}));
    let ask = ask.external(Duration::from_secs(86_400));
    let steps = vec![ask, Step::new(note("second"))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    let (id, uuid) = (run.id(), run.id().step(2));
    let ahead = format!(
        r#"{{"uuid":"{uuid}","entrypoint":"test.Note","params":{{"text":"second"}},"metadata":{{"kser":{{"v":1,"run":"{id}","name":"test.Run","step":2,"of":2,"mode":"stored","version":9}}}}}}"#
    );
    kser.producer().send_bytes("test", ahead).await?;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(
        consumer.handle().health().held,
        0,
        "it waits in a delayed record"
    );
    sleep(Duration::from_secs(900)).await;
    let mut letters = kser.dead_letters("test").await?;
    let all = letters.list(10).await?;
    assert_eq!(all.len(), 1, "{all:?}");
    let error = all[0].error().unwrap_or_default();
    assert!(error.contains("stands at step 1"), "{error}");
    letters.close().await?;
    assert_eq!(run.status().await?.status, kser::Status::Running);
    assert!(diary.read().is_empty());
    consumer.stop().await
}

/// It is looked at again when the time is over that was set, not a minute later.
#[tokio::test(start_paused = true)]
async fn an_unknown_entrypoint_waits_as_long_as_was_set() -> Result<(), Error> {
    let kser = client(Mode::Stored).await;
    let consumer = kser.consumer(common::noting(&Diary::default()));
    let consumer = consumer
        .with_unknown_entrypoint_ttl(Duration::from_secs(2))
        .spawn();
    let steps = vec![Step::named("test.Unknown", &serde_json::json!({}))];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    let state = run.wait_timeout(Duration::from_secs(5)).await?;
    assert_eq!(state.status, kser::Status::Failed);
    consumer.stop().await
}
