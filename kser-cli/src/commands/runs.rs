use kser::run::{RunFilter, Status, Timestamp};
use kser_ops::{AttemptLine, Diagnosis, Ops, OpsError, RunCauses, RunDocument, RunLine, RunPage};

use super::{launch, run_acts, watch};
use crate::args::{RunTimes, Runs};
use crate::exit::Exit;
use crate::output::{Output, clean, count, or_dash};
use crate::terminal::Terminal;

/// The largest exact number of runs.
const COUNTED: u64 = 1000;

/// Runs a command for runs.
pub(super) async fn run(
    command: Runs,
    ops: &Ops,
    out: &mut Output,
    terminal: &mut dyn Terminal,
) -> Result<Exit, OpsError> {
    match command {
        Runs::Ls {
            filter,
            limit,
            after,
        } => {
            let mut of = times(&filter.times, ops);
            of.status = filter.status;
            list(of.with_limit(limit).with_after(after), ops, out).await
        }
        Runs::Causes { filter, limit } => {
            let found = ops.run_causes(times(&filter, ops), limit).await?;
            causes(&found, out)
        }
        Runs::Show {
            id,
            limit,
            payloads,
        } => {
            let id = ops.find_run(&id).await?;
            let limit = limit.clamp(1, 999);
            let run = ops.run(&id, limit, payloads).await?;
            let diagnosis = ops.diagnose(&id).await?;
            let left = ops.estimate(&id).await?;
            let document = RunDocument {
                run: &run,
                diagnosis: &diagnosis,
                left: left.as_ref(),
            };
            match out.is_json() {
                true => out.document(&document)?,
                false => print_run(&document, out),
            }
            Ok(Exit::Done)
        }
        Runs::Why { id } => {
            let id = ops.find_run(&id).await?;
            let diagnosis = ops.diagnose(&id).await?;
            match out.is_json() {
                true => out.document(&diagnosis)?,
                false => print_diagnosis(&diagnosis, out),
            }
            Ok(Exit::Done)
        }
        Runs::Watch { id, limit } => watch::watch(&id, limit, ops, out, terminal).await,
        Runs::Wait { ids, limit } => watch::wait(&ids, limit, ops, out).await,
        Runs::Outcome { id, step } => watch::outcome(&id, step, ops, out).await,
        Runs::Fork { id, from } => launch::fork(&id, from, ops, out).await,
        act => run_acts::run(act, ops, out, terminal).await,
    }
}

/// Makes the filter of the store.
pub(super) fn times(of: &RunTimes, ops: &Ops) -> RunFilter {
    let ago = |time: std::time::Duration| {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(ops.now().as_millis().saturating_sub(time))
    };
    let filter = RunFilter::default().with_launched(of.since.map(ago), of.until.map(ago));
    match &of.op {
        Some(name) => filter.with_name(name.as_str()),
        None => filter,
    }
}

async fn list(filter: RunFilter, ops: &Ops, out: &mut Output) -> Result<Exit, OpsError> {
    let page = ops.runs(&filter).await?;
    if out.is_json() {
        out.document(&page)?;
        return Ok(Exit::Done);
    }
    if page.runs.is_empty() {
        out.line("there are no such runs");
        return Ok(Exit::Done);
    }
    print_page(&page, out);
    if let Some(next) = page.next {
        let all = match ops.count_runs(&filter, COUNTED).await? {
            COUNTED.. => format!("{}+", count(COUNTED)),
            all => count(all),
        };
        out.line(format!("… of {all}; go on with --after {next}"));
    }
    Ok(Exit::Done)
}

fn print_page(page: &RunPage, out: &mut Output) {
    let rows = page.runs.iter().map(|run| {
        let failure = run.failure.as_ref();
        [
            run.id.to_string(),
            run.operation.to_string(),
            run.status.to_string(),
            stands(run),
            out.ago(Some(run.launched)),
            out.ago(Some(run.changed)),
            or_dash(failure.map(|failure| &failure.error)),
        ]
    });
    let rows = rows.collect();
    let head = [
        "RUN",
        "OPERATION",
        "STATUS",
        "STEP",
        "LAUNCHED",
        "CHANGED",
        "WHY",
    ];
    out.table(head, rows);
}

/// Says at which step a run stands.
pub(super) fn stands(run: &RunLine) -> String {
    match (run.position, run.steps) {
        (_, 0) => "build".to_owned(),
        (position, steps) => format!("{} of {steps}", position.min(steps)),
    }
}

fn causes(found: &RunCauses, out: &mut Output) -> Result<Exit, OpsError> {
    if out.is_json() {
        out.document(found)?;
        return Ok(Exit::Done);
    }
    if found.causes.is_empty() {
        out.line("there are no such failed runs");
        return Ok(Exit::Done);
    }
    let rows = found.causes.iter().map(|cause| {
        [
            cause.cause.to_string(),
            count(cause.runs),
            or_dash(cause.entrypoint.as_ref()),
            out.ago(Some(cause.first)),
            out.ago(Some(cause.last)),
            cause.sample.to_string(),
            cause.pattern.clone(),
        ]
    });
    let rows = rows.collect();
    out.table(
        ["CAUSE", "RUNS", "TASK", "FIRST", "LAST", "LATEST", "WHY"],
        rows,
    );
    if let Some(first) = found.causes.first() {
        let (cause, sample) = (first.cause, clean(first.sample.as_str(), 1024));
        out.line(format!("look at one: kser runs show {sample}"));
        out.line(format!(
            "once it is mended: kser runs resume --cause {cause} --canary 1"
        ));
    }
    if found.has_earlier {
        let read = count(found.runs);
        out.line(format!(
            "… the {read} that were launched last were read; -n {} reads more",
            found.runs.saturating_mul(10)
        ));
    }
    Ok(Exit::Done)
}

fn print_run(shown: &RunDocument<'_>, out: &mut Output) {
    let run = &shown.run.run;
    out.heading(&clean(&format!("{}  {}", run.operation, run.id), 2000));
    let (launched, changed) = (out.ago(Some(run.launched)), out.ago(Some(run.changed)));
    let status = format!(
        "{} at step {}, launched {launched} ago ({}), changed {changed} ago",
        run.status,
        stands(run),
        run.launched
    );
    match run.status {
        Status::Failed => out.alert(&status),
        _ => out.line(status),
    }
    print_diagnosis(shown.diagnosis, out);
    if let Some(failure) = &run.failure {
        out.line(format!("cause {}", failure.cause));
    }
    if let Some(left) = shown.left {
        let (time, runs) = (kser_ops::Spoken(left.left), left.runs);
        out.line(format!("left  about {time}, by the times of {runs} runs"));
    }
    if shown.run.has_earlier {
        let shown = shown.run.attempts.len();
        out.line(format!("… the last {shown} attempts: -n {}", shown * 2));
    }
    let rows = shown.run.attempts.iter().map(|row| attempt(row, out));
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        let head = [
            "STEP", "TASK", "STATUS", "TRY", "ENDED", "RAN", "ON", "LEFT",
        ];
        out.table(head, rows);
    }
}

fn print_diagnosis(diagnosis: &Diagnosis, out: &mut Output) {
    out.line(format!("why   {}", clean(&diagnosis.text, 600)));
    if !diagnosis.command.is_empty() {
        out.line(format!("next  {}", clean(&diagnosis.command, 2000)));
    }
}

fn attempt(row: &AttemptLine, out: &Output) -> [String; 8] {
    let step = match row.position {
        0 => "build".to_owned(),
        step => step.to_string(),
    };
    let ran = row.started.map(|started| row.ended.since(started));
    let ran = ran.map(kser_ops::Spoken);
    let text = match &row.by {
        Some(by) => format!("{} by {}: {}", by.verb, by.actor, by.reason),
        None => row.text.clone(),
    };
    [
        step,
        row.entrypoint.to_string(),
        row.status.to_string(),
        row.attempt.to_string(),
        out.ago(Some(row.ended)),
        or_dash(ran.as_ref()),
        match row.worker.as_str() {
            "" => "-".to_owned(),
            worker => worker.to_owned(),
        },
        text,
    ]
}
