use kser_core::{Error, Outcome, Record, TaskError, Timestamp};

use super::work::Work;
use crate::headers;
use crate::topics::DEAD_LETTERS;

/// How much of an error's text goes into a header.
const LONGEST_ERROR: usize = 4096;

/// Writes a record to the dead letters: payload, key and headers as they were, and behind them what is known of its end.
pub(crate) fn dead_letter(
    work: &Work,
    group: &str,
    attempts: u32,
    error: &str,
    now: Timestamp,
) -> Result<Record, Error> {
    let mut letter = work.record.clone();
    letter.topic = work.record.topic.with_suffix(DEAD_LETTERS)?;
    letter.not_before = None;
    if letter.header(headers::ORIGIN).is_none() {
        let place = (
            &work.record.topic,
            work.origin.partition,
            work.origin.offset,
        );
        let origin = format!("{}/{}/{}", place.0, place.1, place.2);
        headers::set(&mut letter, headers::ORIGIN, origin);
    }
    let first = work.tries.first.unwrap_or(now).as_millis().to_string();
    headers::set(&mut letter, headers::GROUP, group.to_owned());
    headers::set(&mut letter, headers::ATTEMPTS, attempts.to_string());
    headers::set(&mut letter, headers::FIRST_FAILED, first);
    headers::set(
        &mut letter,
        headers::LAST_FAILED,
        now.as_millis().to_string(),
    );
    headers::set(&mut letter, headers::ERROR, cut(error).to_owned());
    Ok(letter)
}

/// What a failed outcome says for a header: its error's name, code and message.
pub(crate) fn text(outcome: &Outcome) -> String {
    outcome.error().map_or_else(
        || "no error was given".to_owned(),
        |error: TaskError| error.to_string(),
    )
}

fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(LONGEST_ERROR);
    &text[..end]
}
