use kser_core::{Error, Outcome, Record, TaskError, headers};

use super::tracked_record::TrackedRecord;
use crate::engine::failed_attempts::earlier;
use crate::observer::{LetterReason, Observation, Observer};
use crate::payloads::Unopened;
use crate::shared::Shared;
use crate::topics::DEAD_LETTERS;

/// The longest text of an error in a header, in bytes.
const LONGEST_ERROR: usize = 4096;

/// The reason for a dead letter.
#[derive(Debug)]
pub(crate) struct Reason {
    text: String,
    /// The code of the error of an attempt.
    code: Option<i64>,
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        let text = text.to_owned();
        Self { text, code: None }
    }
}

impl From<&Outcome> for Reason {
    fn from(outcome: &Outcome) -> Self {
        Self {
            text: text(outcome),
            code: outcome.error().map(|error: TaskError| error.code()),
        }
    }
}

/// Makes the dead letter of a record: payload, key and headers as they were, followed by headers that describe the failure.
///
/// # Errors
///
/// [`Error::InvalidTopic`] when the topic of the dead letters cannot have its name.
pub(crate) fn write(
    tracked: &TrackedRecord,
    attempts: u32,
    reason: &Reason,
    shared: &Shared,
) -> Result<Record, Error> {
    let group = shared.writer.routes.group(&tracked.record.topic);
    let mut dead_letter = tracked.record.clone();
    dead_letter.topic = tracked.record.topic.with_suffix(DEAD_LETTERS)?;
    dead_letter.not_before = None;
    tracked.note_origin(&mut dead_letter);
    let (now, wall) = (shared.clock.now(), shared.clock.wall());
    let first = tracked
        .attempts
        .first
        .or(tracked.waits_since)
        .unwrap_or(now);
    let first = earlier(wall, now.since(first)).as_millis().to_string();
    for name in [
        headers::TOPIC,
        headers::WAITS_SINCE,
        headers::WAITED_MS,
        headers::FAILING_MS,
    ] {
        headers::remove(&mut dead_letter, name);
    }
    headers::set(&mut dead_letter, headers::GROUP, group);
    headers::set(&mut dead_letter, headers::ATTEMPTS, attempts.to_string());
    headers::set(&mut dead_letter, headers::FIRST_FAILED, first);
    headers::set(
        &mut dead_letter,
        headers::LAST_FAILED,
        wall.as_millis().to_string(),
    );
    let error = shared
        .writer
        .payloads
        .seal_header(cut(&reason.text), &dead_letter.topic)?;
    headers::set(&mut dead_letter, headers::ERROR, error);
    label(&mut dead_letter, tracked, reason, shared);
    Ok(dead_letter)
}

/// Adds the entrypoint, the run and its step, and the code of the error, unless payloads are encrypted.
fn label(dead_letter: &mut Record, tracked: &TrackedRecord, reason: &Reason, shared: &Shared) {
    let labels = [
        headers::ENTRYPOINT,
        headers::RUN,
        headers::STEP,
        headers::CODE,
    ];
    for name in labels {
        headers::remove(dead_letter, name);
    }
    let payloads = &shared.writer.payloads;
    if payloads.is_encrypted() {
        return;
    }
    if let Ok(message) = payloads.message(&tracked.record) {
        let entrypoint = message.entrypoint.as_str().to_owned();
        headers::set(dead_letter, headers::ENTRYPOINT, entrypoint);
        if let Some(envelope) = message.metadata.envelope() {
            let (run, step) = (envelope.run.as_str().to_owned(), envelope.step);
            headers::set(dead_letter, headers::RUN, run);
            headers::set(dead_letter, headers::STEP, step.to_string());
        }
    }
    if let Some(code) = reason.code {
        headers::set(dead_letter, headers::CODE, code.to_string());
    }
}

/// Makes the dead letter of a record that cannot be opened. Its reason has nothing of the message, and needs no key to be read.
///
/// # Errors
///
/// As [`write`].
pub(crate) fn write_unopened(
    tracked: &TrackedRecord,
    unopened: &Unopened,
    shared: &Shared,
) -> Result<Record, Error> {
    let mut dead_letter = write_within(tracked, 0, "", shared)?;
    if dead_letter.header(headers::ERROR).is_some() {
        headers::set(&mut dead_letter, headers::ERROR, unopened.to_string());
    }
    Ok(dead_letter)
}

/// Makes a dead letter within the record size limit of the transport.
///
/// # Errors
///
/// As [`write`].
pub(crate) fn write_within(
    tracked: &TrackedRecord,
    attempts: u32,
    reason: impl Into<Reason>,
    shared: &Shared,
) -> Result<Record, Error> {
    let dead_letter = write(tracked, attempts, &reason.into(), shared)?;
    let largest = shared.description.largest_record;
    // A received record may be larger than the limit for records of kser. Then the limit of the topic decides.
    Ok(match tracked.record.size() > largest {
        true => dead_letter,
        false => within(dead_letter, largest),
    })
}

/// Removes headers of kser from a dead letter that is larger than `largest`: the record itself is never truncated.
pub(crate) fn within(mut dead_letter: Record, largest: usize) -> Record {
    let ours = [
        headers::ENTRYPOINT,
        headers::RUN,
        headers::STEP,
        headers::CODE,
        headers::ERROR,
        headers::GROUP,
        headers::FIRST_FAILED,
        headers::LAST_FAILED,
        headers::ATTEMPTS,
        headers::ORIGIN,
    ];
    for name in ours {
        if dead_letter.size() <= largest {
            break;
        }
        headers::remove(&mut dead_letter, name);
    }
    dead_letter
}

/// Says whether a record is on its way to the dead letters.
pub(crate) fn is_dead_letter(record: &Record) -> bool {
    record.topic.as_str().ends_with(DEAD_LETTERS)
}

/// Tells an observer of the dead letters among records that are about to be published for the first time.
pub(crate) fn observe(observer: Option<&dyn Observer>, records: &[Record]) {
    let Some(observer) = observer else {
        return;
    };
    for record in records {
        if let Some(topic) = record.topic.as_str().strip_suffix(DEAD_LETTERS) {
            // Attempts that ended without a report count.
            let reason = match headers::attempts(record) {
                Some(1..) => LetterReason::Failed,
                _ => LetterReason::NotRun,
            };
            observer.observe(&Observation::DeadLettered { topic, reason });
        }
    }
}

/// Formats the error of a failed outcome for a header: its name, code and message.
pub(crate) fn text(outcome: &Outcome) -> String {
    outcome.error().map_or_else(
        || "no error was given".to_owned(),
        |error: TaskError| error.to_string(),
    )
}

/// Returns the text within the limit. A text that is cut says so, and how many bytes it had.
fn cut(text: &str) -> String {
    if text.len() <= LONGEST_ERROR {
        return text.to_owned();
    }
    let note = format!("… (cut: {} bytes)", text.len());
    let end = text.floor_char_boundary(LONGEST_ERROR - note.len());
    format!("{}{note}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_says_so() {
        for whole in ["", "x", &"x".repeat(LONGEST_ERROR)] {
            assert_eq!(cut(whole), whole);
        }
        for letter in ["x", "é", "€", "🦀"] {
            let long = letter.repeat(LONGEST_ERROR + 1);
            let kept = cut(&long);
            let note = format!("… (cut: {} bytes)", long.len());
            let text = kept.strip_suffix(&note).unwrap();
            assert!(long.starts_with(text));
            assert!((LONGEST_ERROR - 3..=LONGEST_ERROR).contains(&kept.len()));
        }
    }
}
