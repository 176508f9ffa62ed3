//! Launches by other languages, and the events that tell them the end.

use std::time::Duration;

use kser::Error;
use kser::backend::Room;
use kser::client::Mode;
use serde_json::{Value, json};

use super::MODES;
use super::office::Office;

/// The events that an office publishes within a minute, with their keys.
async fn events(office: &Office, launches: &[&str]) -> Result<Vec<(String, Value)>, Error> {
    let mut events = office.events().await?;
    for launch in launches {
        office.send(None, launch).await?;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut seen = Vec::new();
    let received = events.receive(Room::records(100));
    let received = tokio::time::timeout(Duration::from_secs(1), received).await;
    for event in received.into_iter().flatten().flatten() {
        let key = event.record.key.as_deref().unwrap();
        let payload = event.record.payload.as_deref().unwrap();
        seen.push((
            String::from_utf8(key.to_vec()).unwrap(),
            serde_json::from_slice(payload).unwrap(),
        ));
        let _ = event.ticket.settle(Vec::new()).await;
    }
    events.close().await?;
    Ok(seen)
}

/// An id and an entrypoint are enough, without a key. The events tell what becomes of it.
#[tokio::test(start_paused = true)]
async fn a_launch_needs_an_id_and_an_entrypoint() -> Result<(), Error> {
    for mode in MODES {
        let office = Office::open(mode).await?;
        let launch = r#"{"uuid":"order-1","entrypoint":"test.Order"}"#;
        let seen = events(&office, &[launch]).await?;
        let [(_, running), (_, success)] = &seen[..] else {
            panic!("{mode}: {seen:?}");
        };
        assert!(seen.iter().all(|(key, _)| key == "order-1"));
        for (event, position, from, status) in [
            (running, 1, "PENDING", "RUNNING"),
            (success, 3, "RUNNING", "SUCCESS"),
        ] {
            assert_eq!(event["v"], 1);
            assert_eq!(event["run"], "order-1");
            assert_eq!(event["name"], "test.Order");
            assert_eq!(
                (&event["position"], &event["of"]),
                (&json!(position), &json!(2))
            );
            assert_eq!(
                (&event["from"], &event["status"]),
                (&json!(from), &json!(status))
            );
            assert!(event["at"].as_u64().is_some());
        }
        assert!(running["version"].as_u64() < success["version"].as_u64());
        assert!(running.get("outcome").is_none());
        assert_eq!(success["outcome"]["retval"], json!({"order": 0}));
        office.close().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_second_launch_of_an_id_is_a_second_run_only_without_a_store() -> Result<(), Error> {
    for mode in MODES {
        let office = Office::open(mode).await?;
        let launch = r#"{"uuid":"order-1","entrypoint":"test.Order"}"#;
        let seen = events(&office, &[launch, launch]).await?;
        let ends = seen
            .iter()
            .filter(|(_, event)| event["status"] == "SUCCESS");
        let versions: Vec<_> = ends.map(|(_, event)| event["version"].clone()).collect();
        match mode {
            Mode::Stored => assert_eq!(versions.len(), 1),
            _ => assert_eq!(versions.len(), 2),
        }
        office.close().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_is_wrong_is_a_dead_letter() -> Result<(), Error> {
    let wrong = [
        r#"{"entrypoint":"test.Order"}"#,
        r#"{"uuid":null,"entrypoint":"test.Order"}"#,
        r#"{"uuid":7,"entrypoint":"test.Order"}"#,
        r#"{"uuid":"w","entrypoint":"test.Order","params":null}"#,
        r#"{"uuid":"w","entrypoint":"test.Order","metadata":null}"#,
        r#"{"uuid":"w","entrypoint":"test.Order","metadata":{"kser":{"mine":1}}}"#,
    ];
    for mode in MODES {
        for launch in wrong {
            let office = Office::open(mode).await?;
            assert_eq!(events(&office, &[launch]).await?, [], "{mode} {launch}");
            let (letters, letter) = office.letter().await?;
            assert_eq!(
                letter.record().payload.as_deref().unwrap(),
                launch.as_bytes()
            );
            assert!(letter.error().is_some_and(|error| !error.is_empty()));
            drop(letter);
            letters.close().await?;
            office.close().await?;
        }
    }
    Ok(())
}
