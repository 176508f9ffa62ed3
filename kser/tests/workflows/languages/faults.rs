//! Reports that are wrong: each ends its attempt, and no run waits for ever.

use kser::backend::Record;
use kser::client::Mode;
use kser::message::{Message, Topic};
use kser::{Error, Status};

use super::MODES;
use super::office::{FAILURE, Office, metadata, report, success};

/// What a wrong report is to a step with one attempt: its failure, with the cause.
async fn fails(mode: Mode, text: &str, wrong: impl Fn(&Message) -> String) -> Result<(), Error> {
    let mut office = Office::open(mode).await?;
    let run = office.launch(1).await?;
    let step = office.message().await?;
    let wrong = wrong(&step);
    office.report(&run, &wrong).await?;
    let state = office.end(&run).await?;
    let state = state.unwrap_or_else(|| panic!("{mode}: the run goes on after {wrong}"));
    assert_eq!(state.status, Status::Failed);
    let error = state.outcome.error().unwrap();
    assert_eq!(
        (error.name(), error.code()),
        ("InvalidReport", 400),
        "{error}"
    );
    assert!(error.message().contains(text), "{mode}: {error}");
    assert_eq!(state.outcome.uuid(), Some(&step.uuid), "{mode}");
    // The dead letter is that of the step, so that it can be run again.
    let (letters, letter) = office.letter().await?;
    assert_eq!(letter.message()?.entrypoint.as_str(), "outside.Ask");
    drop(letter);
    letters.close().await?;
    office.close().await
}

fn told(step: &Message) -> String {
    metadata(step).unwrap().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_report_that_cannot_be_read_fails_its_step() -> Result<(), Error> {
    let results = [
        (r#"{"retcode":0,"stderr":null}"#, "result.stderr"),
        (r#"{"retcode":0,"retval":null}"#, "result.retval"),
        (r#"{"retcode":0,"retval":[1]}"#, "result.retval"),
        (r#"{"retcode":"OK"}"#, "result.retcode"),
        (r#"{"uuid":null}"#, "result.uuid"),
        ("[]", "result"),
    ];
    for mode in MODES {
        for (result, text) in results {
            let wrong = |step: &Message| report(step.uuid.as_str(), result, &told(step));
            fails(mode, text, wrong).await?;
        }
        let wrong = |step: &Message| told_params(step, "null");
        fails(mode, "params", wrong).await?;
    }
    Ok(())
}

fn told_params(step: &Message, params: &str) -> String {
    let whole = report(step.uuid.as_str(), &success("{}"), &told(step));
    whole.replacen(r#""params":{}"#, &format!(r#""params":{params}"#), 1)
}

/// An unreadable report is a failed attempt, not the end of all.
#[tokio::test(start_paused = true)]
async fn a_step_is_sent_again_after_a_report_that_cannot_be_read() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(2).await?;
        let step = office.message().await?;
        let wrong = report(step.uuid.as_str(), r#"{"stdout":null}"#, &told(&step));
        office.report(&run, &wrong).await?;
        let again = office.message().await?;
        let ended = report(again.uuid.as_str(), &success("{}"), &told(&again));
        office.report(&run, &ended).await?;
        assert_eq!(run.result().await?.message(), "the end", "{mode}");
        office.close().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_report_of_another_uuid_fails_its_step() -> Result<(), Error> {
    for mode in MODES {
        let wrong = |step: &Message| report("another", &success("{}"), &told(step));
        fails(mode, "another", wrong).await?;
    }
    Ok(())
}

/// Without a store the steps to come are in the metadata alone.
#[tokio::test(start_paused = true)]
async fn a_report_without_the_steps_to_come_fails_its_step() -> Result<(), Error> {
    let wrong = |step: &Message| {
        let mut told = metadata(step).unwrap();
        told["kser"].as_object_mut().unwrap().remove("plan");
        report(step.uuid.as_str(), &success("{}"), &told.to_string())
    };
    fails(Mode::AtLeastOnce, "metadata", wrong).await
}

/// What a reporter may read of `metadata.kser`, and nothing else of it.
#[tokio::test(start_paused = true)]
async fn a_report_with_a_part_of_our_metadata_ends_its_step() -> Result<(), Error> {
    for mode in MODES {
        for (result, is_success) in [(success("{}"), true), (FAILURE.to_owned(), false)] {
            let mut office = Office::open(mode).await?;
            let run = office.launch(1).await?;
            let step = office.message().await?;
            let mut told = metadata(&step)?;
            let kser = told["kser"].as_object_mut().unwrap();
            kser.retain(|name, _| {
                ["v", "run", "name", "mode", "step", "of", "reply"].contains(&name.as_str())
            });
            let ended = report(step.uuid.as_str(), &result, &told.to_string());
            office.report(&run, &ended).await?;
            let state = office.end(&run).await?;
            let state = state.unwrap_or_else(|| panic!("{mode} {result}: the run goes on"));
            let expected = match is_success && mode == Mode::Stored {
                true => Status::Success,
                false => Status::Failed,
            };
            assert_eq!(state.status, expected, "{mode} {result}");
            office.close().await?;
        }
    }
    Ok(())
}

/// The count of attempts is ours: a reporter that leaves it out fails the step, which is not sent for ever.
#[tokio::test(start_paused = true)]
async fn a_failed_report_without_the_count_of_attempts_is_the_last() -> Result<(), Error> {
    for attempts in [1, 2] {
        let mut office = Office::open(Mode::AtLeastOnce).await?;
        let run = office.launch(attempts).await?;
        let step = office.message().await?;
        let mut told = metadata(&step)?;
        told["kser"].as_object_mut().unwrap().remove("attempts");
        let failed = report(step.uuid.as_str(), FAILURE, &told.to_string());
        office.report(&run, &failed).await?;
        let state = office.end(&run).await?.expect("it ends");
        assert_eq!(state.outcome.error_message(), "no stock");
        assert!(office.is_quiet().await);
        office.close().await?;
    }
    Ok(())
}

/// A store knows the run by the key of the record. Without one, nothing else names the run: the report is a dead letter,
/// and another report may come.
#[tokio::test(start_paused = true)]
async fn a_report_without_our_metadata_is_known_by_its_key() -> Result<(), Error> {
    for mode in MODES {
        for wrong in ["{}", "null", r#"{"tenant":"Ann"}"#] {
            let mut office = Office::open(mode).await?;
            let run = office.launch(1).await?;
            let step = office.message().await?;
            let bare = report(step.uuid.as_str(), &success(r#"{"b":2}"#), wrong);
            office.report(&run, &bare).await?;
            let state = office.end(&run).await?;
            match (mode, wrong) {
                (Mode::Stored, "null") => {
                    let error = state.unwrap().outcome.error().unwrap();
                    assert_eq!(error.name(), "InvalidReport");
                }
                (Mode::Stored, _) => assert_eq!(state.unwrap().status, Status::Success),
                _ => {
                    assert!(state.is_none(), "{state:?}");
                    let (letters, letter) = office.letter().await?;
                    assert_eq!(letter.message().ok().map(|m| m.uuid), {
                        let readable = wrong != "null";
                        readable.then(|| step.uuid.clone())
                    });
                    drop(letter);
                    letters.close().await?;
                    let ended = report(step.uuid.as_str(), &success("{}"), &told(&step));
                    office.report(&run, &ended).await?;
                    assert_eq!(run.result().await?.message(), "the end");
                }
            }
            office.close().await?;
        }
    }
    Ok(())
}

/// What is no JSON at all has no other name than its key.
#[tokio::test(start_paused = true)]
async fn a_report_that_is_no_json_is_known_by_its_key() -> Result<(), Error> {
    for mode in MODES {
        let mut office = Office::open(mode).await?;
        let run = office.launch(1).await?;
        office.message().await?;
        office.report(&run, "no JSON").await?;
        let state = office.end(&run).await?;
        match mode {
            Mode::Stored => {
                let error = state.unwrap().outcome.error().unwrap();
                assert_eq!(error.name(), "InvalidReport");
            }
            _ => assert!(state.is_none(), "{state:?}"),
        }
        office.close().await?;
    }
    Ok(())
}

/// A name is not enough: the run has to wait for a report.
#[tokio::test(start_paused = true)]
async fn a_stray_record_with_the_key_of_a_run_does_not_fail_it() -> Result<(), Error> {
    let mut office = Office::open(Mode::Stored).await?;
    let run = office.launch(1).await?;
    let step = office.message().await?;
    let other = report("another", &success("{}"), "{}");
    office.report(&run, &other).await?;
    let lone = r#"{"uuid":"u","entrypoint":"test.Last","params":null}"#;
    office.report(&run, lone).await?;
    assert!(office.end(&run).await?.is_none());
    let ended = report(step.uuid.as_str(), &success("{}"), &told(&step));
    office.report(&run, &ended).await?;
    run.result().await?;
    office.report(&run, "no JSON").await?;
    assert_eq!(run.wait().await?.status, Status::Success);
    office.close().await
}

/// A replay goes where kser says, not where a sender of the record does.
#[tokio::test(start_paused = true)]
async fn the_topic_of_a_replay_is_not_told_by_senders() -> Result<(), Error> {
    let office = Office::open(Mode::AtLeastOnce).await?;
    let stray = Record::new(Topic::new("test")?, Some("no JSON".into()));
    let stray = stray.with_header("kser-topic", "outside");
    office.publish(stray).await?;
    let (letters, letter) = office.letter().await?;
    assert_eq!(letter.record().header("kser-topic"), None);
    drop(letter);
    letters.close().await?;
    office.close().await
}
