use std::fmt::Write as _;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use kser::run::Timestamp;
use kser_ops::{OpsError, Spoken};
use serde::Serialize;

/// The longest text from a message in a cell of a table, in characters.
const LONGEST_CELL: usize = 300;

/// The narrowest last column of a table, in characters.
const NARROWEST_TEXT: u16 = 24;

/// The style of headings.
const HEADING: anstyle::Style = anstyle::Style::new().bold();

/// The style of points that need a hand.
const ALERT: anstyle::Style = anstyle::AnsiColor::Red.on_default();

/// The text that a command prints, and its form.
#[derive(Debug)]
pub struct Output {
    text: String,
    json: bool,
    /// The number of columns; `None` for any number.
    width: Option<u16>,
    now: Timestamp,
}

impl Output {
    /// Makes an empty output at a time of day.
    #[must_use]
    pub const fn new(json: bool, width: Option<u16>, now: Timestamp) -> Self {
        Self {
            text: String::new(),
            json,
            width,
            now,
        }
    }

    /// Says whether the output is JSON.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Returns the text, with its colours.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    pub(crate) const fn text_mut(&mut self) -> &mut String {
        &mut self.text
    }

    /// Adds the one document of JSON.
    ///
    /// # Errors
    ///
    /// [`OpsError::Invalid`] for a value without a JSON form.
    pub fn document<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), OpsError> {
        let text = serde_json::to_string_pretty(value).map_err(|error| OpsError::Invalid {
            what: "the answer".to_owned(),
            reason: error.to_string(),
        })?;
        self.text.push_str(&text);
        self.text.push('\n');
        Ok(())
    }

    /// Adds a line, whose texts from outside are escaped and cut.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    /// Adds a heading.
    pub fn heading(&mut self, text: &str) {
        let _ = writeln!(self.text, "{HEADING}{text}{HEADING:#}");
    }

    /// Adds a line about a point that needs a hand.
    pub fn alert(&mut self, text: &str) {
        let _ = writeln!(self.text, "{ALERT}{text}{ALERT:#}");
    }

    /// Adds a table, whose cells are cleaned.
    pub fn table<const N: usize>(&mut self, head: [&str; N], rows: Vec<[String; N]>) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(head);
        table.add_rows(
            rows.iter()
                .map(|row| row.each_ref().map(|cell| clean(cell, LONGEST_CELL))),
        );
        if let Some(width) = self.width {
            if !keeps_words(&mut table, width) {
                return self.blocks(head, rows, width);
            }
            table.set_width(width);
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        let text = table.to_string();
        for (index, line) in text.lines().map(str::trim_end).enumerate() {
            // Cells have a space on both sides.
            let line = line.strip_prefix(' ').unwrap_or(line);
            match index {
                0 => self.heading(line),
                _ => self.line(line),
            }
        }
    }

    /// Adds a block for each row, where a terminal is too narrow for a table: a name is worth more than a column.
    fn blocks<const N: usize>(&mut self, head: [&str; N], rows: Vec<[String; N]>, width: u16) {
        let names = head.map(|name| format!("  {}", name.to_lowercase()));
        let indent = names.iter().map(String::len).max().unwrap_or_default() + 2;
        let room = usize::from(width).saturating_sub(indent);
        for row in rows {
            let mut cells = names.iter().zip(row).filter(|(_, cell)| cell != "-");
            if let Some((_, first)) = cells.next() {
                self.heading(&clean(&first, LONGEST_CELL));
            }
            for (name, cell) in cells {
                let mut name = name.as_str();
                for line in wrapped(&clean(&cell, LONGEST_CELL), room) {
                    self.line(format!("{name:<indent$}{line}"));
                    name = "";
                }
            }
        }
    }

    /// Says how long ago a time was.
    #[must_use]
    pub fn ago(&self, at: Option<Timestamp>) -> String {
        // A clock that is ahead gives no negative time.
        at.map_or_else(
            || "-".to_owned(),
            |at| Spoken(self.now.since(at)).to_string(),
        )
    }
}

/// Has the last column of a table alone break its lines. Says whether the table fits into the width.
fn keeps_words(table: &mut Table, width: u16) -> bool {
    let widths = table.column_max_content_widths();
    let Some((last, others)) = widths.split_last() else {
        return true;
    };
    let spaces = u16::try_from(2 * widths.len()).unwrap_or(u16::MAX);
    let taken = others
        .iter()
        .fold(spaces, |sum, it| sum.saturating_add(*it));
    let columns = table.column_iter_mut().take(others.len());
    columns.for_each(|column| {
        column.set_constraint(ColumnConstraint::ContentWidth);
    });
    taken.saturating_add(*last.min(&NARROWEST_TEXT)) <= width
}

/// Breaks a text at spaces into lines of at most `room` characters. A longer word has a line of its own.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut();
        match line.filter(|line| {
            line.is_empty() || line.chars().count() + 1 + word.chars().count() <= room
        }) {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => line.extend([" ", word]),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Escapes the control characters of a text from outside, and those that turn its direction, and cuts it.
#[must_use]
pub(crate) fn clean(text: &str, longest: usize) -> String {
    kser_ops::clean(text, longest)
}

/// Writes a number with a comma between thousands.
#[must_use]
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Returns the text, or `-` for none.
#[must_use]
pub(crate) fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        let check = |number, text: &str| assert_eq!(count(number), text);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(1_234_567, "1,234,567");
    }

    #[test]
    fn words_are_not_broken() {
        let check = |text: &str, expected: &[&str]| assert_eq!(wrapped(text, 10), expected);
        check("", &[""]);
        check("one two three", &["one two", "three"]);
        check("billing.dlt/0/118 is", &["billing.dlt/0/118", "is"]);
    }

    #[test]
    fn hostile_text_is_escaped() {
        let hostile = "a\u{1b}]0;x\u{7}\u{202e}b\u{0}\n";
        assert_eq!(clean(hostile, 100), "a\\u{1b}]0;x\\u{7}\\u{202e}b\\u{0}\\n");
        assert_eq!(clean("abcdef", 3), "abc… (6 bytes)");
    }
}
