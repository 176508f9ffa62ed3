use std::io::{BufRead, IsTerminal, Write};

/// The person at the terminal, if there is one.
pub trait Terminal: Send {
    /// Shows a text and asks a question; `None` when there is no terminal.
    fn ask(&mut self, shown: &str, question: &str) -> Option<String>;

    /// Prints a line at once, to the standard output. Says whether there is still a reader.
    fn tell(&mut self, line: &str) -> bool;

    /// Shows that an act goes on.
    fn progress(&mut self, done: u64, of: u64);

    /// Ends the line of the progress.
    fn end_progress(&mut self);
}

/// The terminal of the process. Its questions and progress go to the standard error.
#[derive(Debug)]
pub struct ProcessTerminal {
    is_open: bool,
    shows_progress: bool,
}

impl ProcessTerminal {
    /// Finds the terminal of the process.
    #[must_use]
    pub fn find() -> Self {
        let shows = std::io::stderr().is_terminal();
        Self {
            is_open: shows && std::io::stdin().is_terminal(),
            shows_progress: false,
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
        writeln!(anstream::stdout(), "{line}").is_ok()
    }

    fn progress(&mut self, done: u64, of: u64) {
        if self.is_open {
            self.shows_progress = true;
            let _ = write!(anstream::stderr(), "\r{done} of {of} ");
        }
    }

    fn end_progress(&mut self) {
        if std::mem::take(&mut self.shows_progress) {
            let _ = writeln!(anstream::stderr());
        }
    }
}
