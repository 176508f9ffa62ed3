use kser_ops::{ExportedLetter, LetterAddress, Ops, OpsError};

use super::letters::filter;
use crate::args::Which;
use crate::exit::Exit;
use crate::output::Output;
use crate::terminal::Terminal;

/// Writes dead letters as they are read, one a line; as JSON they are one array, which is written piece by piece, too.
pub(super) async fn export(
    which: &Which,
    after: Option<&LetterAddress>,
    with_records: bool,
    ops: &Ops,
    out: &Output,
    terminal: &mut dyn Terminal,
) -> Result<Exit, OpsError> {
    let of = filter(&which.filter, ops);
    let topic = which.topic.as_deref();
    let mut export = ops.export_letters(topic, of, after, with_records).await?;
    let (mut lines, mut last) = (Lines::new(out.is_json()), None);
    loop {
        let page = match export.next_page().await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err(error) => {
                terminal.note(&stopped(last.as_ref()));
                return Err(error);
            }
        };
        for letter in page {
            if !terminal.tell(&lines.next(&letter)?) {
                return Ok(Exit::Done);
            }
            last = Some(letter.letter.address);
        }
        terminal.progress(lines.count, None);
    }
    terminal.end_progress();
    if let Some(end) = lines.end() {
        terminal.tell(end);
    }
    if !with_records && lines.count > 0 {
        terminal.note("keys, headers and payloads are left out: --payload adds them");
    }
    Ok(Exit::Done)
}

fn stopped(last: Option<&LetterAddress>) -> String {
    match last {
        Some(last) => format!("the export has stopped; go on with --after {last}"),
        None => "the export has stopped before the first letter".to_owned(),
    }
}

/// The lines of an export.
struct Lines {
    is_array: bool,
    count: u64,
}

impl Lines {
    const fn new(is_array: bool) -> Self {
        Self { is_array, count: 0 }
    }

    fn next(&mut self, letter: &ExportedLetter) -> Result<String, OpsError> {
        let text = serde_json::to_string(letter).map_err(|error| OpsError::Invalid {
            what: "the export".to_owned(),
            reason: error.to_string(),
        })?;
        self.count += 1;
        Ok(match (self.is_array, self.count) {
            (false, _) => text,
            (true, 1) => format!("[{text}"),
            (true, _) => format!(",{text}"),
        })
    }

    /// Returns the line after the last letter.
    const fn end(&self) -> Option<&'static str> {
        match (self.is_array, self.count) {
            (false, _) => None,
            (true, 0) => Some("[]"),
            (true, _) => Some("]"),
        }
    }
}
