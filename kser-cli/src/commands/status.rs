use kser_ops::{Ops, OpsError, Part, RunCounts, Spoken, Summary, letters_left};

use super::topics::waiting;
use crate::exit::Exit;
use crate::output::{Output, clean, count};

/// Summarizes everything. The exit code is that of a backend that did not answer.
pub(super) async fn show(ops: &Ops, out: &mut Output) -> Result<Exit, OpsError> {
    let summary = ops.status().await?;
    let failed = [&summary.kafka, &summary.store];
    let failed = failed
        .into_iter()
        .any(|part| matches!(part, Part::Failed { .. }));
    match out.is_json() {
        true => out.document(&summary)?,
        false => print(&summary, out),
    }
    Ok(match failed {
        true => Exit::Silent,
        false => Exit::Done,
    })
}

fn print(summary: &Summary, out: &mut Output) {
    let Summary {
        now, kafka, store, ..
    } = summary;
    out.line(format!(
        "{} · {} · {now}",
        shown("Kafka", kafka),
        shown("store", store)
    ));
    if let Some(runs) = &summary.runs {
        let bounded = |number: u64| match number {
            RunCounts::MOST.. => format!("{}+", count(RunCounts::MOST)),
            number => count(number),
        };
        let [open, failed, cancelled] = [runs.open, runs.failed, runs.cancelled].map(bounded);
        out.line(format!(
            "runs: {open} open · {failed} failed · {cancelled} cancelled"
        ));
    }
    if let Some(topics) = &summary.topics {
        let rows = topics.iter().map(|line| {
            let (work, letters) = (line.work.as_ref(), line.letters.as_ref());
            let left = letters_left(line, *now).map(|left| Spoken(left).to_string());
            [
                line.topic.clone(),
                waiting(work),
                out.ago(work.and_then(|work| work.oldest)),
                waiting(letters),
                out.ago(letters.and_then(|letters| letters.oldest)),
                left.unwrap_or_else(|| "-".to_owned()),
            ]
        });
        let rows = rows.collect();
        let head = [
            "TOPIC",
            "WAITING",
            "OLDEST",
            "LETTERS",
            "OLDEST",
            "DELETED IN",
        ];
        out.table(head, rows);
    }
    if summary.needs.is_empty() {
        return out.line("nothing needs a hand");
    }
    out.heading("needs a hand");
    for need in &summary.needs {
        out.alert(&format!("! {}", clean(&need.text, 400)));
        out.line(format!("    {}", clean(&need.command, 400)));
    }
}

fn shown(name: &str, part: &Part) -> String {
    match part {
        Part::Open { url } => clean(url, 200),
        Part::Failed { url, .. } => format!("{} does not answer", clean(url, 200)),
        _ => format!("no {name}"),
    }
}
