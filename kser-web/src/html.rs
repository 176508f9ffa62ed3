//! The parts of pages: texts from outside are escaped twice, their control characters for people and their markup for the browser.

pub(crate) mod chain;
pub(crate) mod refusal;
pub(crate) mod shell;
pub(crate) mod timeline;

use std::time::Duration;

use axum::http::StatusCode;
use kser::run::{Status, Timestamp};
use kser_ops::Spoken;
pub(crate) use maud::{Markup, html};

/// The longest text of a cell, in characters.
pub(crate) const LONGEST_CELL: usize = 160;

/// A page before it has its head.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) title: String,
    pub(crate) tab: Tab,
    /// The subjects whose changes the page shows.
    pub(crate) sees: Vec<String>,
    /// The command that shows the same in a terminal.
    pub(crate) command: String,
    /// Whether a browser without the script shows the page again soon, since it is not whole.
    pub(crate) refresh: bool,
    pub(crate) body: Markup,
}

/// The part of the site that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Overview,
    Runs,
    Letters,
    Consumers,
    Waiting,
    None,
}

impl Page {
    pub(crate) fn new(title: impl Into<String>, tab: Tab, body: Markup) -> Self {
        Self {
            status: StatusCode::OK,
            title: title.into(),
            tab,
            sees: Vec::new(),
            command: String::new(),
            refresh: false,
            body,
        }
    }

    /// Sets the command that shows the same.
    pub(crate) fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = command.into();
        self
    }

    /// Shows the changes of a subject.
    pub(crate) fn seeing(mut self, subject: impl Into<String>) -> Self {
        self.sees.push(subject.into());
        self
    }
}

/// Escapes the control characters of a text from outside, and cuts it.
pub(crate) fn text(text: &str, longest: usize) -> String {
    kser_ops::clean(text, longest)
}

/// Escapes a text from outside for a cell.
pub(crate) fn cell(of: &str) -> String {
    text(of, LONGEST_CELL)
}

/// Writes a number with a comma between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Writes a number that was counted up to a bound.
pub(crate) fn bounded(number: u64, most: u64) -> String {
    match number >= most {
        true => format!("{}+", count(most)),
        false => count(number),
    }
}

/// Says how long ago a time was, with the exact time at hand.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let exact = at.to_string();
    // A clock that is ahead gives no negative time.
    let age = now.since(at);
    html! {
        time datetime=(exact) title=(exact) {
            @if age < Duration::from_secs(1) { "now" } @else { (Spoken(age)) " ago" }
        }
    }
}

/// Shows a time of day, which the script writes in the zone of the reader.
pub(crate) fn at(at: Timestamp) -> Markup {
    let exact = at.to_string();
    html! { time.at datetime=(exact) { (exact) } }
}

/// Shows a status by its shape and its word.
pub(crate) fn status(status: Status) -> Markup {
    let (class, shape) = match status {
        Status::Success => ("ok", "✓"),
        Status::Failed => ("bad", "✕"),
        Status::Cancelled => ("off", "⊘"),
        Status::Running => ("on", "▶"),
        Status::Pending => ("wait", "○"),
    };
    html! { span class={ "st " (class) } { i aria-hidden="true" { (shape) } (status) } }
}

/// Says at which step a run stands.
pub(crate) fn stands((position, steps): (u32, u32)) -> String {
    match steps {
        0 => "build".to_owned(),
        steps => format!(
            "{} of {}",
            count(position.min(steps).into()),
            count(steps.into())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_from_outside_are_shown_as_they_are() {
        let hostile = cell("<script>alert(1)</script>\u{1b}[2J\u{202e}");
        let page = html! { p title=(hostile) { (hostile) } }.into_string();
        let shown = "&lt;script&gt;alert(1)&lt;/script&gt;\\u{1b}[2J\\u{202e}";
        assert_eq!(page, format!("<p title=\"{shown}\">{shown}</p>"));
    }

    #[test]
    fn numbers_are_exact_or_say_that_they_are_not() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(
            (bounded(999, 1000), bounded(1000, 1000)),
            ("999".into(), "1,000+".into())
        );
    }
}
