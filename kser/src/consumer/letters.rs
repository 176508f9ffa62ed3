use kser_core::{Clock, Error, Outcome, Record, TaskError, headers};

use super::work::{Work, earlier};
use crate::topics::DEAD_LETTERS;

/// How much of an error's text goes into a header.
const LONGEST_ERROR: usize = 4096;

/// Writes a record to the dead letters: payload, key and headers as they were, and behind them what is known of its end.
pub(crate) fn dead_letter(
    work: &Work,
    group: &str,
    attempts: u32,
    error: &str,
    clock: &dyn Clock,
) -> Result<Record, Error> {
    let mut letter = work.record.clone();
    letter.topic = work.record.topic.with_suffix(DEAD_LETTERS)?;
    letter.not_before = None;
    work.note_origin(&mut letter);
    let (now, wall) = (clock.now(), clock.wall());
    let first = work.tries.first.or(work.waits_since).unwrap_or(now);
    let first = earlier(wall, now.since(first)).as_millis().to_string();
    for name in [
        headers::TOPIC,
        headers::WAITS_SINCE,
        headers::WAITED_MS,
        headers::FAILING_MS,
    ] {
        headers::remove(&mut letter, name);
    }
    headers::set(&mut letter, headers::GROUP, group.to_owned());
    headers::set(&mut letter, headers::ATTEMPTS, attempts.to_string());
    headers::set(&mut letter, headers::FIRST_FAILED, first);
    headers::set(
        &mut letter,
        headers::LAST_FAILED,
        wall.as_millis().to_string(),
    );
    headers::set(&mut letter, headers::ERROR, cut(error).to_owned());
    Ok(letter)
}

/// Leaves out what kser knows of a letter that would be too large with it: the record itself is never cut.
pub(crate) fn within(mut letter: Record, largest: usize) -> Record {
    let ours = [
        headers::ERROR,
        headers::GROUP,
        headers::FIRST_FAILED,
        headers::LAST_FAILED,
        headers::ATTEMPTS,
        headers::ORIGIN,
    ];
    for name in ours {
        if letter.size() <= largest {
            break;
        }
        headers::remove(&mut letter, name);
    }
    letter
}

/// Says whether a record is on its way to the dead letters.
pub(crate) fn is_letter(record: &Record) -> bool {
    record.topic.as_str().ends_with(DEAD_LETTERS)
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
