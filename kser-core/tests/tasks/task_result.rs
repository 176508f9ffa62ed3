//! Errors of any library at the end of a task.

use std::io;

use kser_core::{TaskError, TaskResultExt};

fn is(error: &TaskError, code: i64, is_temporary: bool, message: &str) {
    let told = (error.code(), error.is_temporary(), error.message());
    assert_eq!(told, (code, is_temporary, message));
}

#[test]
fn an_error_says_whether_to_try_again() {
    let failed = || Err::<(), _>(io::Error::other("disk full"));
    is(&failed().permanent().unwrap_err(), 500, false, "disk full");
    is(&failed().temporary().unwrap_err(), 500, true, "disk full");
    is(&failed().code(422).unwrap_err(), 422, false, "disk full");
    is(&failed().code(503).unwrap_err(), 503, true, "disk full");
    assert_eq!(Ok::<_, io::Error>(7).permanent().unwrap(), 7);
}

#[test]
fn text_is_an_error() {
    let error = Err::<(), _>("no dice").code(404).unwrap_err();
    is(&error, 404, false, "no dice");
}

/// Neither implements [`std::error::Error`].
#[test]
fn errors_of_anyhow_and_eyre_keep_their_causes() {
    let failed = anyhow::Error::from(io::Error::other("disk full"));
    let failed = Err::<(), _>(failed.context("no image"));
    let error = failed.permanent().unwrap_err();
    is(&error, 500, false, "no image: disk full");

    let failed = eyre::Report::from(io::Error::other("disk full"));
    let failed = Err::<(), _>(failed.wrap_err("no image"));
    let error = failed.code(503).unwrap_err();
    is(&error, 503, true, "no image: disk full");
}

#[test]
fn an_error_of_a_task_keeps_what_it_says() {
    let failed = || Err::<(), _>(TaskError::not_found("no such image"));
    let error = failed().temporary().unwrap_err();
    is(&error, 404, true, "no such image");
    assert_eq!((error.name(), error.msgid()), ("NotFound", "ERR-08414"));
    let error = failed().code(410).unwrap_err();
    is(&error, 410, false, "no such image");
}

/// As a task is written.
#[test]
fn a_question_mark_is_enough() {
    fn width(text: &str) -> Result<u32, TaskError> {
        let bytes: anyhow::Result<String> = Ok(text.to_owned());
        bytes.temporary()?.parse::<u32>().code(422)
    }
    assert_eq!(width("7").unwrap(), 7);
    assert_eq!(width("wide").unwrap_err().code(), 422);
}
