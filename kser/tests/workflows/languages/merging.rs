//! What a report says, and what it leaves out.

use std::time::Duration;

use kser::client::Mode;
use kser::{Error, Outcome, Status};

use super::MODES;
use super::office::{FAILURE, Office, metadata, report, success};

/// `{"a":1}`, then `{"b":2}`: the next step is given both, also when the reporter sends its own alone.
#[tokio::test(start_paused = true)]
async fn a_report_is_laid_over_what_was_forwarded() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(1).await?;
        let step = office.message().await?;
        assert_eq!(step.result.data().as_str(), r#"{"a":1,"both":"ours"}"#);
        let left = serde_json::json!({"b": 2, "both": "theirs"});
        let left = Outcome::json(&left)?.with_message("asked");
        office.kser.producer().report(&step, &left).await?;
        assert_eq!(run.result().await?.message(), "the end");
        let [given] = &office.last()[..] else {
            panic!("{mode}: it ran {} times", office.last().len());
        };
        let merged = r#"{"a":1,"both":"theirs","b":2}"#;
        assert_eq!(given.previous.data().as_str(), merged, "{mode}");
        assert_eq!(given.previous.message(), "asked");
        assert_eq!(given.previous.uuid(), Some(&step.uuid));
        // The text of the metadata was copied.
        assert_eq!(given.price, "2.50");
        office.close().await?;
    }
    Ok(())
}

/// A reporter that merges by itself, as earlier versions had to be told, gets the same.
#[tokio::test(start_paused = true)]
async fn laying_a_result_over_twice_changes_nothing() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(1).await?;
        let step = office.message().await?;
        let left = step
            .result
            .merge(&Outcome::json(&serde_json::json!({"b": 2}))?);
        office.kser.producer().report(&step, &left).await?;
        run.result().await?;
        let given = &office.last()[0].previous;
        assert_eq!(given.data().as_str(), r#"{"a":1,"both":"ours","b":2}"#);
        office.close().await?;
    }
    Ok(())
}

/// The user's metadata go on as the launch gave them.
#[tokio::test(start_paused = true)]
async fn metadata_that_a_reporter_leaves_out_are_kept() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(1).await?;
        let step = office.message().await?;
        let mut told = metadata(&step)?;
        assert_eq!(told["tenant"], "Zoë");
        told.as_object_mut().unwrap().remove("tenant");
        let text = report(step.uuid.as_str(), &success("{}"), &told.to_string());
        office.report(&run, &text).await?;
        run.result().await?;
        let given = &office.last()[0];
        assert_eq!(given.tenant.as_deref(), Some(r#""Zoë""#), "{mode}");
        office.close().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn metadata_that_a_reporter_changes_go_on_as_it_wrote_them() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(1).await?;
        let step = office.message().await?;
        let mut told = metadata(&step)?;
        told["tenant"] = "Ann".into();
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        told["tracing"] = serde_json::json!({ "traceparent": trace });
        let text = report(step.uuid.as_str(), &success("{}"), &told.to_string());
        office.report(&run, &text).await?;
        run.result().await?;
        let given = &office.last()[0];
        assert_eq!(given.tenant.as_deref(), Some(r#""Ann""#), "{mode}");
        assert_eq!(given.traceparent.as_deref(), Some(trace), "{mode}");
        office.close().await?;
    }
    Ok(())
}

/// A failed report is a failed attempt: the step is sent again, the same but for `metadata.kser`.
#[tokio::test(start_paused = true)]
async fn a_failed_report_is_followed_by_another_attempt() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(2).await?;
        let first = office.message().await?;
        let failed = report(first.uuid.as_str(), FAILURE, &metadata(&first)?.to_string());
        office.report(&run, &failed).await?;
        let mut second = office.message().await?;
        let attempts = second.metadata.envelope().unwrap().attempts;
        assert_eq!(attempts, 2, "{mode}");
        let told = metadata(&second)?.to_string();
        second.metadata = first.metadata.clone();
        assert_eq!(second, first, "{mode}");
        let ended = report(first.uuid.as_str(), &success(r#"{"b":2}"#), &told);
        office.report(&run, &ended).await?;
        assert_eq!(run.result().await?.message(), "the end");
        let [given] = &office.last()[..] else {
            panic!("{mode}: it ran {} times", office.last().len());
        };
        let merged = r#"{"a":1,"both":"ours","b":2}"#;
        assert_eq!(given.previous.data().as_str(), merged);
        assert_eq!(given.tenant.as_deref(), Some(r#""Zoë""#));
        office.close().await?;
    }
    Ok(())
}

/// The second failure of two attempts is the last.
#[tokio::test(start_paused = true)]
async fn attempts_come_to_an_end() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(2).await?;
        for _ in 0..2 {
            let step = office.message().await?;
            let failed = report(step.uuid.as_str(), FAILURE, &metadata(&step)?.to_string());
            office.report(&run, &failed).await?;
        }
        let state = office.end(&run).await?.expect("it ends");
        assert_eq!(state.status, Status::Failed, "{mode}");
        assert_eq!(state.outcome.error_message(), "no stock");
        assert!(office.is_quiet().await);
        office.close().await?;
    }
    Ok(())
}

/// The limit of a step is kept by the store. Without one no consumer can know, when the limit is over, whether the report
/// came: the run stays RUNNING, and a late report is taken.
#[tokio::test(start_paused = true)]
async fn a_limit_needs_a_store() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(1).await?;
        let step = office.message().await?;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let late = Outcome::text("late");
        office.kser.producer().report(&step, &late).await?;
        let state = office.end(&run).await?.expect("it ends");
        match mode {
            Mode::Stored => {
                assert_eq!(state.status, Status::Failed);
                assert_eq!(state.outcome.error_message(), "no report within 60 s");
            }
            _ => assert_eq!(state.status, Status::Success),
        }
        office.close().await?;
    }
    Ok(())
}

/// The letter runs the step again, and the run goes on as if nothing had failed.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_of_a_step_is_its_message_and_is_replayed() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(1).await?;
        let step = office.message().await?;
        let failed = report(step.uuid.as_str(), FAILURE, &metadata(&step)?.to_string());
        office.report(&run, &failed).await?;
        let state = office.end(&run).await?.expect("it ends");
        assert_eq!(state.outcome.error_message(), "no stock");

        let (letters, letter) = office.letter().await?;
        assert_eq!(
            letter.message()?.entrypoint.as_str(),
            "outside.Ask",
            "{mode}"
        );
        assert_eq!(letter.message()?.params.as_str(), r#"{"q":1}"#);
        assert_eq!(
            letter.error().as_deref(),
            Some("OutOfStock (500): no stock")
        );
        assert_eq!(letter.attempts(), 1);
        letter.replay().await?;
        let again = office.message().await?;
        assert_eq!((&again.uuid, &again.result), (&step.uuid, &step.result));
        let ended = report(
            step.uuid.as_str(),
            &success(r#"{"b":2}"#),
            &metadata(&again)?.to_string(),
        );
        office.report(&run, &ended).await?;
        assert_eq!(run.result().await?.message(), "the end", "{mode}");
        let given = &office.last()[0];
        let merged = r#"{"a":1,"both":"ours","b":2}"#;
        assert_eq!(given.previous.data().as_str(), merged);
        assert_eq!(given.tenant.as_deref(), Some(r#""Zoë""#));
        letters.close().await?;
        office.close().await?;
    }
    Ok(())
}
