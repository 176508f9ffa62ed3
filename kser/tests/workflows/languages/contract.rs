//! What a step's message tells, and what counts of a report.

use std::time::Duration;

use kser::client::Mode;
use kser::message::Message;
use kser::{Error, Status};
use serde_json::json;

use super::MODES;
use super::office::{FAILURE, Office, metadata, report, success};

#[tokio::test(start_paused = true)]
async fn the_message_of_a_step_tells_its_run_and_where_to_report() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(1).await?;
        let record = office.record().await?;
        assert_eq!(record.topic.as_str(), "outside");
        assert_eq!(record.key.as_deref(), Some(run.id().as_str().as_bytes()));
        assert!(record.headers.is_empty(), "{:?}", record.headers);
        let message: serde_json::Value = serde_json::from_slice(&record.payload.unwrap()).unwrap();
        let fields: Vec<_> = message.as_object().unwrap().keys().collect();
        assert_eq!(fields.len(), 5);
        assert_eq!(message["entrypoint"], "outside.Ask");
        assert_eq!(message["params"], json!({"q": 1}));
        assert_eq!(message["result"]["retval"], json!({"a": 1, "both": "ours"}));
        assert_eq!(message["metadata"]["tenant"], "Zoë");
        let kser = &message["metadata"]["kser"];
        let told = ["v", "run", "name", "step", "of", "mode", "reply"].map(|name| &kser[name]);
        let expected = [
            json!(1),
            json!(run.id()),
            json!("test.External"),
            json!(2),
            json!(3),
            json!(mode.as_str()),
            json!("test"),
        ];
        assert_eq!(told, expected.each_ref());
        office.close().await?;
    }
    Ok(())
}

/// The key orders the records of a run; nothing else depends on it.
#[tokio::test(start_paused = true)]
async fn a_report_may_have_another_key_or_none() -> Result<(), Error> {
    for mode in MODES {
        for key in [None, Some("another")] {
            let mut office = Office::open(mode).await?;
            let run = office.launch(1).await?;
            let step = office.message().await?;
            let ended = report(step.uuid.as_str(), &success("{}"), &told(&step));
            office.send(key, &ended).await?;
            assert_eq!(run.result().await?.message(), "the end");
            office.close().await?;
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_result_is_a_success_below_300_without_an_error() -> Result<(), Error> {
    let results = [
        ("null", true),
        ("{}", true),
        (r#"{"retcode":299}"#, true),
        (r#"{"retcode":0.0,"unknown":1}"#, true),
        (r#"{"retcode":0,"retval":{"error":null}}"#, true),
        (r#"{"retcode":300}"#, false),
        (r#"{"retcode":500,"stderr":"just text"}"#, false),
        (r#"{"retcode":0,"retval":{"error":""}}"#, false),
        (r#"{"retcode":0,"retval":{"error":{}}}"#, false),
        (FAILURE, false),
    ];
    for mode in MODES {
        for (result, is_success) in results {
            let mut office = Office::open(mode).await?;
            let run = office.launch(1).await?;
            let step = office.message().await?;
            let ended = report(step.uuid.as_str(), result, &told(&step));
            office.report(&run, &ended).await?;
            let state = office.end(&run).await?.expect("it ends");
            let expected = match is_success {
                true => Status::Success,
                false => Status::Failed,
            };
            assert_eq!(state.status, expected, "{mode} {result}");
            if result.contains("just text") {
                assert_eq!(state.outcome.error_message(), "just text");
            }
            office.close().await?;
        }
        // What is left out is as in a success that says nothing.
        let mut office = Office::open(mode).await?;
        let run = office.launch(1).await?;
        let step = office.message().await?;
        let ended = format!(
            r#"{{"uuid":"{}","entrypoint":"kser.StepEnded","metadata":{}}}"#,
            step.uuid,
            told(&step)
        );
        office.report(&run, &ended).await?;
        assert_eq!(run.result().await?.message(), "the end");
        office.close().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_result_over_its_limit_fails_the_step() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(1).await?;
        let step = office.message().await?;
        let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(262_144));
        let ended = report(step.uuid.as_str(), &success(&large), &told(&step));
        office.report(&run, &ended).await?;
        let state = office.end(&run).await?.expect("it ends");
        let error = state.outcome.error().unwrap();
        assert_eq!((error.name(), error.code()), ("TooLarge", 413), "{mode}");
        assert!(error.message().contains("262144"), "{error}");
        assert_eq!(state.outcome.uuid(), Some(&step.uuid));
        office.close().await?;
    }
    Ok(())
}

/// With a store the first report counts. Without one, the steps behind run twice, and a failure ends the run a second time.
#[tokio::test(start_paused = true)]
async fn a_second_report_counts_only_without_a_store() -> Result<(), Error> {
    for mode in MODES {
        for second in [success("{}"), FAILURE.to_owned()] {
            let mut office = Office::open(mode).await?;
            let mut events = office.events().await?;
            let run = office.launch(1).await?;
            let step = office.message().await?;
            for result in [&success("{}"), &second] {
                let ended = report(step.uuid.as_str(), result, &told(&step));
                office.report(&run, &ended).await?;
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
            let twice = mode != Mode::Stored;
            let is_failure = second == FAILURE;
            assert_eq!(office.last().len(), 1 + usize::from(twice && !is_failure));
            let received = events.receive(kser::backend::Room::records(100)).await?;
            let statuses: Vec<_> = received
                .iter()
                .map(|event| event.record.payload.as_deref().unwrap())
                .map(|event| kser::run::RunEvent::decode(event).unwrap().status)
                .filter(|status| status.is_terminal())
                .collect();
            let both = statuses.contains(&Status::Success) && statuses.contains(&Status::Failed);
            assert_eq!(both, twice && is_failure, "{mode}: {statuses:?}");
            assert_eq!(run.wait().await?.status, statuses[0]);
            for event in received {
                let _ = event.ticket.settle(Vec::new()).await;
            }
            events.close().await?;
            office.close().await?;
        }
    }
    Ok(())
}

/// A report names no attempt: while the second is under way, that of the first still counts.
#[tokio::test(start_paused = true)]
async fn a_late_report_counts_while_another_attempt_is_under_way() -> Result<(), Error> {
    let mut office = Office::open(Mode::Stored).await?;
    let run = office.launch(2).await?;
    let first = office.message().await?;
    let second = office.message().await?;
    assert_eq!((&second.uuid, &second.params), (&first.uuid, &first.params));
    let ended = report(first.uuid.as_str(), &success("{}"), &told(&first));
    office.report(&run, &ended).await?;
    assert_eq!(run.result().await?.message(), "the end");
    office.close().await
}

fn told(step: &Message) -> String {
    metadata(step).unwrap().to_string()
}
