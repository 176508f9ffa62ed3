use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

use kser_ops::Spoken;
use tokio::time::Instant;

use crate::output::count;

/// The cells of a bar.
const CELLS: u64 = 24;

/// The time between two pictures of a bar.
const PICTURE: Duration = Duration::from_millis(100);

/// The time from which on a bar estimates the rest.
const ESTIMATES: Duration = Duration::from_secs(2);

/// The person at the terminal, if there is one.
pub trait Terminal: Send {
    /// Shows a text and asks a question; `None` when there is no terminal.
    fn ask(&mut self, shown: &str, question: &str) -> Option<String>;

    /// Prints a line at once, to the standard output. Says whether there is still a reader.
    fn tell(&mut self, line: &str) -> bool;

    /// Prints a line beside the answer, to the standard error.
    fn note(&mut self, line: &str);

    /// Shows that work goes on: `done`, of so many where that is known.
    fn progress(&mut self, done: u64, of: Option<u64>);

    /// Ends the line of the progress.
    fn end_progress(&mut self);
}

/// The terminal of the process. Its questions, notes and progress go to the standard error.
#[derive(Debug)]
pub struct ProcessTerminal {
    is_open: bool,
    shows: bool,
    bar: Option<Bar>,
}

/// A bar that is shown.
#[derive(Debug)]
struct Bar {
    began: Instant,
    pictured: Option<Instant>,
    /// The characters of the picture, which the next one covers.
    wide: usize,
}

impl ProcessTerminal {
    /// Finds the terminal of the process.
    #[must_use]
    pub fn find() -> Self {
        let shows = std::io::stderr().is_terminal();
        Self {
            is_open: shows && std::io::stdin().is_terminal(),
            shows,
            bar: None,
        }
    }
}

impl Terminal for ProcessTerminal {
    fn ask(&mut self, shown: &str, question: &str) -> Option<String> {
        if !self.is_open {
            return None;
        }
        let mut to = anstream::stderr().lock();
        write!(to, "{shown}{question}")
            .and_then(|()| to.flush())
            .ok()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).ok()?;
        Some(answer)
    }

    fn tell(&mut self, line: &str) -> bool {
        if let Some(bar) = &self.bar {
            // The bar is drawn again below the line.
            let _ = write!(anstream::stderr(), "\r{:<wide$}\r", "", wide = bar.wide);
        }
        writeln!(anstream::stdout(), "{line}").is_ok()
    }

    fn note(&mut self, line: &str) {
        self.end_progress();
        let _ = writeln!(anstream::stderr(), "{line}");
    }

    fn progress(&mut self, done: u64, of: Option<u64>) {
        if !self.shows {
            return;
        }
        let now = Instant::now();
        let bar = self.bar.get_or_insert(Bar {
            began: now,
            pictured: None,
            wide: 0,
        });
        let is_last = of == Some(done);
        if !is_last && bar.pictured.is_some_and(|at| now - at < PICTURE) {
            return;
        }
        let picture = picture(done, of, now - bar.began);
        let wide = picture.chars().count();
        let _ = write!(anstream::stderr(), "\r{picture:<0$}", bar.wide.max(wide));
        (bar.pictured, bar.wide) = (Some(now), wide);
    }

    fn end_progress(&mut self) {
        if self.bar.take().is_some() {
            let _ = writeln!(anstream::stderr());
        }
    }
}

/// Draws a bar: `████████░░░░ 27 of 500 · about 40 s more`, or only a number where the end is not known.
fn picture(done: u64, of: Option<u64>, passed: Duration) -> String {
    let Some(of) = of.filter(|of| *of > 0) else {
        return format!("{} so far", count(done));
    };
    let done = done.min(of);
    let full = usize::try_from(done * CELLS / of).unwrap_or_default();
    let empty = usize::try_from(CELLS).unwrap_or_default() - full;
    let (full, empty) = ("█".repeat(full), "░".repeat(empty));
    let text = format!("{full}{empty} {} of {}", count(done), count(of));
    match passed >= ESTIMATES && done > 0 && done < of {
        false => text,
        true => {
            let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
            let left = Duration::from_millis(millis.saturating_mul(of - done) / done);
            format!("{text} · about {} more", Spoken(left))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_much_is_done_and_how_long_the_rest_takes() {
        let picture = |done, of, seconds| picture(done, of, Duration::from_secs(seconds));
        let bar = |full: usize| format!("{}{}", "█".repeat(full), "░".repeat(24 - full));
        assert_eq!(picture(0, Some(500), 9), format!("{} 0 of 500", bar(0)));
        assert_eq!(
            picture(250, Some(500), 1),
            format!("{} 250 of 500", bar(12))
        );
        let late = picture(2000, Some(8000), 10);
        assert_eq!(late, format!("{} 2,000 of 8,000 · about 30 s more", bar(6)));
        assert_eq!(picture(9, Some(5), 60), format!("{} 5 of 5", bar(24)));
        assert_eq!(picture(1234, None, 60), "1,234 so far");
        assert_eq!(picture(7, Some(0), 60), "7 so far");
    }
}
