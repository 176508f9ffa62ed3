use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

/// Lines, each a word and a text, and when each came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<(Instant, String)>>>);

impl Lines {
    /// Reads what a child prints, on a thread of its own.
    pub(crate) fn of(child: &mut Child) -> Self {
        let lines = Self::default();
        if let Some(out) = child.stdout.take() {
            let read = lines.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    read.add(line);
                }
            });
        }
        lines
    }

    pub(crate) fn add(&self, line: String) {
        self.0.lock().unwrap().push((Instant::now(), line));
    }

    /// All of them, as they were printed.
    pub(crate) fn output(&self) -> String {
        let lines = self.0.lock().unwrap();
        let lines: Vec<_> = lines.iter().map(|(_, line)| line.as_str()).collect();
        lines.join("\n")
    }

    /// What came behind a word, and when.
    pub(crate) fn said(&self, word: &str) -> Vec<(Instant, String)> {
        let lines = self.0.lock().unwrap();
        let said = lines.iter().filter_map(|(at, line)| {
            let rest = line.strip_prefix(word)?.strip_prefix(' ')?;
            Some((*at, rest.to_owned()))
        });
        said.collect()
    }

    /// The texts that came behind a word.
    pub(crate) fn texts(&self, word: &str) -> Vec<String> {
        self.said(word).into_iter().map(|(_, text)| text).collect()
    }
}
