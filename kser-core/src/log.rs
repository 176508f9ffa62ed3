//! The log lines of kser, with the same facts as fields of the `tracing` events.
//!
//! Text from messages is escaped, so that one event is one line for any uuid and any outcome.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

use tracing::Level;

use crate::{Name, Object, Outcome, Status, TaskId};

/// The options of the log. The default shows no params and cuts text after 1,000 characters.
#[derive(Debug, Clone)]
pub struct LogOptions {
    params: bool,
    masked: BTreeSet<String>,
    longest: usize,
    texts: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            params: false,
            masked: BTreeSet::new(),
            longest: 1000,
            texts: true,
        }
    }
}

impl LogOptions {
    /// Shows the params of tasks, at level DEBUG. They may contain personal or secret data.
    #[must_use]
    pub const fn with_params(mut self) -> Self {
        self.params = true;
        self
    }

    /// Shows `***` for params of these names, at any depth.
    #[must_use]
    pub fn with_masked<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.masked.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets the number of characters after which text is cut.
    #[must_use]
    pub const fn with_longest(mut self, characters: usize) -> Self {
        self.longest = characters;
        self
    }

    /// Shows no text that a message carries, such as the error of a task: in its place stands its length. The lines that a task writes
    /// itself stay.
    #[must_use]
    pub const fn without_texts(mut self) -> Self {
        self.texts = false;
        self
    }

    /// Returns the number of characters after which a text that a message carries is cut; 0 where none is shown.
    #[must_use]
    pub const fn longest_text(&self) -> usize {
        match self.texts {
            true => self.longest,
            false => 0,
        }
    }

    /// Returns the number of characters after which text is cut.
    #[must_use]
    pub const fn longest(&self) -> usize {
        self.longest
    }

    /// Returns the params as the log shows them; `None` if it does not.
    #[must_use]
    pub fn params(&self, params: &Object) -> Option<String> {
        self.params.then(|| {
            let text = mask(params.as_str(), &self.masked);
            clean(&text, self.longest).into_owned()
        })
    }
}

/// Replaces the values of masked names, at any depth, without a tree of values and without recursion.
fn mask(json: &str, masked: &BTreeSet<String>) -> String {
    use crate::json::scan::Scanner;
    use crate::json::text::unescape;
    let mut out = String::with_capacity(json.len());
    let mut scanner = Scanner::new(json);
    let mut from = 0;
    while let Some(byte) = scanner.peek() {
        if byte != b'"' {
            scanner.skip(1);
            continue;
        }
        let Ok(token) = scanner.value() else {
            return out;
        };
        let behind = scanner.clone().take(b':');
        if behind && masked.contains(&*unescape(token).0) {
            scanner.take(b':');
            out.push_str(&json[from..scanner.at()]);
            out.push_str("\"***\"");
            if scanner.value().is_err() {
                // The value is not JSON, so the rest is not shown.
                return out;
            }
            from = scanner.at();
        }
    }
    out.push_str(&json[from..]);
    out
}

/// Returns the text of an error with those of its causes, for one line: at most 1,000 characters, with line breaks escaped,
/// since a message from outside may be part of it.
#[must_use]
pub fn report(error: &crate::Error) -> String {
    clean(&error.report(), 1000).into_owned()
}

/// Escapes the control characters of a text for a log line, and cuts it with a mark after `longest` characters.
#[must_use]
pub fn clean(text: &str, longest: usize) -> Cow<'_, str> {
    let harmless = text.len() <= longest && !text.chars().any(needs_escape);
    if harmless {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(longest) + 16);
    for (count, character) in text.chars().enumerate() {
        if count == longest {
            let _ = write!(out, "… ({} bytes)", text.len());
            break;
        }
        match needs_escape(character) {
            true => out.extend(character.escape_default()),
            false => out.push(character),
        }
    }
    Cow::Owned(out)
}

/// Says whether a character is a control character, or one that ends a line or turns its direction.
fn needs_escape(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The longest name or id in a line, in characters.
const LONGEST_NAME: usize = 200;

/// Says whether a subscriber listens at the level.
pub(crate) fn is_enabled(level: Level) -> bool {
    match level {
        Level::ERROR => tracing::enabled!(target: "kser", Level::ERROR),
        Level::WARN => tracing::enabled!(target: "kser", Level::WARN),
        Level::INFO => tracing::enabled!(target: "kser", Level::INFO),
        Level::DEBUG => tracing::enabled!(target: "kser", Level::DEBUG),
        Level::TRACE => tracing::enabled!(target: "kser", Level::TRACE),
    }
}

/// Writes one line about a task: `DiceRoll.Success: dice.DiceRoll[872c…]: You made a 1`.
///
/// `who` is the short name of the task, or `Controller`, or `Producer`; `what` is the action. The text is written as it is:
/// [`clean`] it first.
pub fn line(
    level: Level,
    who: &str,
    what: &str,
    entrypoint: &Name,
    uuid: &TaskId,
    outcome: Option<&Outcome>,
    text: Option<&str>,
) {
    let (colon, text) = text.map_or(("", ""), |text| (": ", text));
    let name = clean(entrypoint.as_str(), LONGEST_NAME);
    let id = clean(uuid.as_str(), LONGEST_NAME);
    let (who, retcode) = (clean(who, LONGEST_NAME), outcome.map(Outcome::code));
    macro_rules! at {
        ($level:expr) => {
            tracing::event!(target: "kser", $level, uuid = %id, entrypoint = %name, retcode, "{who}.{what}: {name}[{id}]{colon}{text}")
        };
    }
    match level {
        Level::ERROR => at!(Level::ERROR),
        Level::WARN => at!(Level::WARN),
        Level::INFO => at!(Level::INFO),
        Level::DEBUG => at!(Level::DEBUG),
        Level::TRACE => at!(Level::TRACE),
    }
}

/// Writes `Controller.Success: dice.DiceRoll[872c…]: You made a 1`, cut after `longest` characters.
pub fn success(who: &str, entrypoint: &Name, uuid: &TaskId, outcome: &Outcome, longest: usize) {
    if is_enabled(Level::INFO) {
        let text = clean(outcome.message(), longest);
        line(
            Level::INFO,
            who,
            "Success",
            entrypoint,
            uuid,
            Some(outcome),
            Some(&text),
        );
    }
}

/// Writes `Controller.Failed: dice.DiceRoll[872c…]: no dice`, cut after `longest` characters.
pub fn failed(who: &str, entrypoint: &Name, uuid: &TaskId, outcome: &Outcome, longest: usize) {
    if is_enabled(Level::ERROR) {
        let text = clean(outcome.error_message(), longest);
        line(
            Level::ERROR,
            who,
            "Failed",
            entrypoint,
            uuid,
            Some(outcome),
            Some(&text),
        );
    }
}

/// Writes `DiceLaunch.SetStatus: dice.DiceLaunch[…] status update 'PENDING' -> 'RUNNING'`.
pub fn set_status(name: &Name, run: &str, from: Status, to: Status) {
    if !tracing::enabled!(target: "kser", Level::INFO) {
        return;
    }
    let (who, name) = (
        clean(name.short(), LONGEST_NAME),
        clean(name.as_str(), LONGEST_NAME),
    );
    let run = clean(run, LONGEST_NAME);
    tracing::info!(target: "kser", %run, entrypoint = %name, %from, %to, "{who}.SetStatus: {name}[{run}] status update '{from}' -> '{to}'");
}

/// Writes `Operation registry: loaded dice.DiceRoll`.
pub(crate) fn loaded(entrypoint: &Name) {
    let name = clean(entrypoint.as_str(), LONGEST_NAME);
    tracing::info!(target: "kser", entrypoint = %name, "Operation registry: loaded {name}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        let forged = "u\n2026 INFO forged\u{1b}[2J\u{2028}";
        assert_eq!(
            clean(forged, 100),
            "u\\n2026 INFO forged\\u{1b}[2J\\u{2028}"
        );
        assert_eq!(clean("Zo\u{eb} \u{1f3b2}", 100), "Zo\u{eb} \u{1f3b2}");
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(clean("abcdef", 3), "abc… (6 bytes)");
    }

    #[test]
    fn texts_of_messages_are_shown_unless_they_are_hidden() {
        let options = LogOptions::default().with_longest(7);
        assert_eq!(options.longest_text(), 7);
        let hidden = options.without_texts();
        assert_eq!((hidden.longest_text(), hidden.longest()), (0, 7));
        assert_eq!(clean("secret", hidden.longest_text()), "… (6 bytes)");
        assert_eq!(clean("", hidden.longest_text()), "");
    }

    #[test]
    fn masked_names_are_hidden_at_any_depth() {
        let text =
            r#"{"user":"zoe","password":"x","a":[{"p\u0061ssword" : {"b":1}}],"t":"password"}"#;
        let object: Object = serde_json::from_str(text).unwrap();
        let shown = LogOptions::default().with_masked(["password"]);
        assert_eq!(shown.params(&object), None);
        let shown = shown.with_params().params(&object).unwrap();
        assert_eq!(
            shown,
            r#"{"user":"zoe","password":"***","a":[{"p\u0061ssword" :"***"}],"t":"password"}"#
        );
    }
}
