use kser_ops::{Ops, OpsError, Spoken, Wait, WaitKind, Waiting};

use crate::exit::Exit;
use crate::output::{Output, clean, count, or_dash};

/// Lists the waits that are to come, the earliest first.
pub(super) async fn list(
    limit: usize,
    read: usize,
    ops: &Ops,
    out: &mut Output,
) -> Result<Exit, OpsError> {
    let waiting = ops.waiting(limit, read).await?;
    match out.is_json() {
        true => out.document(&waiting)?,
        false => print(&waiting, out),
    }
    Ok(Exit::Done)
}

fn print(waiting: &Waiting, out: &mut Output) {
    let rows = waiting.waits.iter().map(|wait| row(waiting, wait));
    let rows: Vec<_> = rows.collect();
    match rows.is_empty() {
        true => out.line("nothing that can be seen waits"),
        false => out.table(
            [
                "IN",
                "AT",
                "WAITS FOR",
                "TASK",
                "RUN",
                "STEP",
                "TRIES",
                "TOPIC",
                "WHY",
            ],
            rows,
        ),
    }
    let shown = u64::try_from(waiting.waits.len()).unwrap_or(u64::MAX);
    if waiting.found > shown {
        let more = count(waiting.found - shown);
        out.line(format!("… {more} more were found: -n {}", waiting.found));
    }
    out.heading("not in this list");
    for unknown in &waiting.unknown {
        out.line(format!("  {}", clean(unknown, 400)));
    }
}

fn row(waiting: &Waiting, wait: &Wait) -> [String; 9] {
    let left = wait.at.since(waiting.now);
    [
        match left.is_zero() {
            true => format!("{} late", Spoken(waiting.now.since(wait.at))),
            false => Spoken(left).to_string(),
        },
        wait.at.to_string(),
        match wait.kind {
            WaitKind::Delayed => "its time",
            WaitKind::Retry => "a retry",
            WaitKind::External => "a report",
            _ => "-",
        }
        .to_owned(),
        or_dash(wait.entrypoint.as_ref()),
        or_dash(wait.run.as_ref()),
        match wait.step {
            Some(0) => "build".to_owned(),
            step => or_dash(step.as_ref()),
        },
        wait.attempts.to_string(),
        wait.topic.clone(),
        or_dash(wait.error.as_ref()),
    ]
}
