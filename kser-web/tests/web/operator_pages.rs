//! The pages about dead letters, consumers and waits, read as text.

use std::time::Duration;

use axum::http::StatusCode;
use kser::backend::{Record, Transport as _, headers};
use kser::client::Client;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::Topic;
use kser::{Registry, Step, TaskError};

use crate::world::{Work, World, fails, open, says};

/// Makes dead letters of two causes.
fn letters(count: usize) -> Vec<Record> {
    let topic = Topic::new("shop.dlt").expect("a topic");
    let letter = |n: usize| {
        let error = match n % 100 {
            99 => "Missing (400): no currency".to_owned(),
            _ => format!("Refused (500): order {n} is refused"),
        };
        let payload = format!("{{\"n\":{n}.0,\"token\":\"hunter2\"}}");
        let record = Record::new(topic.clone(), Some(payload.into()));
        let record = record.with_header(headers::ERROR, error);
        let record = record.with_header(headers::ENTRYPOINT, "shop.Charge");
        record.with_header(headers::RUN, format!("order-{n}"))
    };
    (0..count).map(letter).collect()
}

async fn world(count: usize) -> World {
    let transport = MemoryTransport::new();
    transport.publish(letters(count)).await.expect("letters");
    let builder = Client::builder(transport).store(MemoryStore::new());
    World::of(builder.build().await.expect("a client"), open())
}

#[tokio::test(start_paused = true)]
async fn letters_are_grouped_by_cause_and_listed_one_by_one() {
    let world = world(300).await;
    let text = world.get("/letters").await.text;
    for part in [
        r#"data-read="300" data-whole="true""#,
        r#"data-letters="297""#,
        "Refused (&lt;n&gt;): order &lt;n&gt; is refused",
        r#"data-letters="3""#,
        r#"<li data-topic="shop">"#,
        "kser letters causes",
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    let of_topic = world.get("/letters?topic=shop").await.text;
    assert!(of_topic.contains("kser letters causes shop"), "{of_topic}");
    let list = text
        .split(r#"data-letters="3""#)
        .nth(1)
        .and_then(|rest| rest.split("href=\"").nth(1));
    let list = list
        .and_then(|rest| rest.split('"').next())
        .expect("a link to the letters");
    let text = world.get(list).await.text;
    assert_eq!(text.matches("<tr data-letter=").count(), 3, "{text}");
    assert!(text.contains("no currency") && !text.contains("is refused"));

    let first = world.get("/letters/list").await.text;
    assert_eq!(first.matches("<tr data-letter=").count(), 50);
    let next = first.split("href=\"").find(|part| part.contains("after="));
    let next = next
        .and_then(|part| part.split('"').next())
        .expect("a next page");
    let second = world.get(next).await.text;
    assert!(
        second.contains(r#"data-letter="shop.dlt/0/50""#),
        "{second}"
    );
    let missing = world.get("/letters?topic=nothing").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_letter_hides_its_payload_until_it_is_asked_for() {
    let world = world(2).await;
    let hidden = world.get("/letters/at/shop.dlt/0/1").await;
    assert!(hidden.text.contains("order 1 is refused") && !hidden.text.contains("1.0"));
    let shown = world
        .get("/letters/at/shop.dlt/0/1?show=payload")
        .await
        .text;
    assert!(
        shown.contains("{&quot;n&quot;:1.0,&quot;token&quot;:&quot;***&quot;}"),
        "{shown}"
    );
    for (missing, status) in [
        ("/letters/at/shop.dlt/0/9", StatusCode::NOT_FOUND),
        ("/letters/at/shop.dlt/x/9", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(world.get(missing).await.status, status);
    }
}

#[tokio::test]
async fn many_letters_are_read_in_the_background() {
    let world = world(60_000).await;
    let mut parts = 0;
    loop {
        let text = world.get("/letters").await.text;
        if text.contains(r#"data-whole="true""#) {
            assert!(text.contains("All 60,000 letters are read"), "{text}");
            break;
        }
        parts += 1;
        assert!(text.contains("of 60,000 letters are read"), "{text}");
        assert!(
            text.contains(r#"http-equiv="refresh""#),
            "without the script, too"
        );
    }
    assert!(parts > 0, "the page did not wait for all of them");
}

#[tokio::test(start_paused = true)]
async fn failed_runs_are_grouped_by_cause() {
    let world = World::new(open()).await;
    assert!(
        world
            .get("/causes")
            .await
            .text
            .contains("No run has failed.")
    );
    for n in 0..3 {
        world
            .run(
                &format!("order-{n}"),
                vec![fails(&format!("order {n} has no money"))],
            )
            .await;
    }
    let text = world.get("/causes").await.text;
    assert!(text.contains("All 3 failed runs are read"), "{text}");
    assert!(text.contains(r#"data-runs="3""#) && text.contains("order &lt;n&gt; has no money"));
}

async fn slow(_: Work) -> Result<(), TaskError> {
    tokio::time::sleep(Duration::from_secs(3600)).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn consumers_are_shown_with_the_tasks_that_they_run() {
    let world = World::new(open()).await;
    let registry = Registry::new().task(slow).build().expect("a registry");
    let consumer = world
        .client
        .consumer(registry)
        .with_version("1.4.2")
        .spawn();
    let steps = vec![Step::new(says("slow"))];
    let launch = world.client.producer().launch_steps("shop.Order", steps);
    launch.with_id("order-7").await.expect("a launch");
    tokio::time::sleep(Duration::from_secs(11)).await;
    let text = world.get("/consumers").await.text;
    for part in [
        r#"data-state="running""#,
        "1.4.2",
        "shop.Work",
        r#"href="/runs/order-7""#,
        "1 of ",
        r#"data-partition="shop/0""#,
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    let run = world.get("/runs/order-7").await.text;
    assert!(
        run.contains(r#"data-reason="runs""#) && run.contains(r#"data-state="runs""#),
        "{run}"
    );
    drop(consumer);
}

#[tokio::test(start_paused = true)]
async fn waits_are_listed_with_those_that_cannot_be_seen() {
    let world = World::new(open()).await;
    let send = world.client.producer().send(says("later"));
    send.with_delay(Duration::from_secs(3600))
        .await
        .expect("a send");
    let text = world.get("/waiting").await.text;
    assert!(text.contains(r#"<tr data-kind="delayed">"#), "{text}");
    assert!(
        text.contains("shop.Work") && text.contains("Not in this list"),
        "{text}"
    );
}
