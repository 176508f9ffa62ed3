use kser_ops::{ActReport, Ends, LeftBehind, OpsError};

use crate::args::Consent;
use crate::exit::Exit;
use crate::output::{Output, clean, count};
use crate::terminal::Terminal;

/// The reasons that are shown.
const SHOWN: usize = 10;

/// An act as it is shown beforehand.
pub(super) struct Preview<'a> {
    /// The name of one thing and of many.
    pub(super) nouns: [&'a str; 2],
    /// The rest of the sentence `5 runs would be …`.
    pub(super) would_be: &'a str,
    pub(super) taken: u64,
    pub(super) refused: u64,
    /// The things that are left, with the reasons.
    pub(super) left: Vec<(String, &'a str)>,
    /// The line about the things that are taken.
    pub(super) about: Option<String>,
}

/// The result of an act.
pub(super) struct Done<'a> {
    done: u64,
    /// The word for that which is done.
    participle: &'a str,
    /// The ends of the runs, if they are followed.
    ends: Option<Ends>,
    refused: u64,
    left: Vec<(String, &'a str)>,
    not_tried: u64,
    stopped: Option<&'a str>,
}

impl Preview<'_> {
    /// Prints the act unless it is meant, and asks for the number. Says whether the act is to be done.
    pub(super) fn consent(
        &self,
        consent: &Consent,
        is_named: bool,
        out: &mut Output,
        terminal: &mut dyn Terminal,
    ) -> Result<bool, OpsError> {
        let is_meant = is_named && !consent.dry_run && self.taken > 0;
        if !out.is_json() && !is_meant {
            self.print(out);
        }
        match self.taken {
            0 => Ok(false),
            _ if is_meant => Ok(true),
            taken => ask(consent, taken, out, terminal),
        }
    }

    fn print(&self, out: &mut Output) {
        let noun = self.nouns[usize::from(self.taken != 1)];
        out.line(format!(
            "{} {noun} would be {}",
            count(self.taken),
            self.would_be
        ));
        if let Some(about) = &self.about {
            out.line(about);
        }
        print_left("would be left", self.refused, &self.left, out);
    }

    /// Returns the end of an act that was not done.
    pub(super) const fn end(&self, dry_run: bool) -> Exit {
        match (self.taken, self.refused) {
            (0, 0) => Exit::Done,
            (0, _) => Exit::Refused,
            _ if dry_run => Exit::Done,
            _ => Exit::Refused,
        }
    }
}

impl<'a> Done<'a> {
    /// Describes a report. `participle` is the word for that which is done; `is_followed` tells that the ends of the runs count.
    pub(super) fn new<L: LeftBehind>(
        report: &'a ActReport<L>,
        participle: &'a str,
        is_followed: bool,
    ) -> Self {
        Self {
            done: report.done,
            participle,
            ends: is_followed.then_some(report.ends),
            refused: report.refused,
            left: left(&report.left),
            not_tried: report.not_tried,
            stopped: report.stopped.as_deref(),
        }
    }

    pub(super) fn print(&self, out: &mut Output) {
        let mut line = format!("{} {}", count(self.done), self.participle);
        if let Some(ends) = self.ends {
            line += &format!(
                " · {} succeeded · {} failed again · {} still run or cannot be followed",
                count(ends.succeeded),
                count(ends.failed_again),
                count(ends.unknown)
            );
        }
        out.line(line);
        if let Some(stopped) = self.stopped {
            let left = count(self.not_tried);
            let stopped = clean(stopped, 400);
            out.alert(&format!("stopped: {stopped}; {left} were not tried"));
        }
        print_left("left", self.refused, &self.left, out);
    }

    /// Returns the end of the act.
    pub(super) fn end(&self) -> Exit {
        let failed = self.ends.is_some_and(|ends| ends.failed_again > 0);
        match (self.done, self.refused, self.not_tried) {
            (0, 1.., 0) => Exit::Refused,
            (_, 0, 0) if failed => Exit::Bad,
            (_, 0, 0) => Exit::Done,
            _ => Exit::Part,
        }
    }
}

/// Names the things that an act leaves, with the reasons.
pub(super) fn left<L: LeftBehind>(left: &[L]) -> Vec<(String, &str)> {
    let named = left.iter().map(|left| (left.subject(), left.reason()));
    named.collect()
}

/// Asks for the number, unless it was given.
fn ask(
    consent: &Consent,
    taken: u64,
    out: &mut Output,
    terminal: &mut dyn Terminal,
) -> Result<bool, OpsError> {
    let refused = |reason| Err(OpsError::Refused { reason });
    match consent.yes {
        Some(yes) if yes == taken => return Ok(true),
        Some(yes) => {
            let reason = format!("--yes says {yes}, and it would take {taken}: nothing was done");
            return refused(reason);
        }
        None if consent.dry_run => return Ok(false),
        None => {}
    }
    if out.is_json() {
        return refused(format!(
            "nothing was done: it takes --yes {taken}, or --dry-run"
        ));
    }
    let question = format!("This is a dry run. Type {taken} to go on: ");
    let shown = std::mem::take(out.text_mut());
    let answer = terminal.ask(&shown, &question);
    let Some(answer) = answer else {
        *out.text_mut() = shown;
        out.line(format!("This is a dry run: --yes {taken} does it."));
        return Ok(false);
    };
    Ok(answer.trim() == taken.to_string())
}

fn print_left(how: &str, refused: u64, left: &[(String, &str)], out: &mut Output) {
    if refused == 0 {
        return;
    }
    out.line(format!("{} {how}:", count(refused)));
    for (name, reason) in left.iter().take(SHOWN) {
        let name = clean(name, 200);
        out.line(format!("  {name}  {}", clean(reason, 200)));
    }
    let shown = u64::try_from(left.len().min(SHOWN)).unwrap_or_default();
    if refused > shown {
        out.line(format!("  … and {} more", count(refused - shown)));
    }
}
