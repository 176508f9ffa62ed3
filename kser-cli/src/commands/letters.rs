use kser::run::Timestamp;
use kser_ops::{
    CauseCounter, Causes, Letter, LetterAddress, LetterDocument, LetterFilter, Ops, OpsError,
};

use super::{export, letter_acts};
use crate::args::{Filter, Letters, Which};
use crate::exit::Exit;
use crate::output::{Output, clean, count, or_dash};
use crate::terminal::Terminal;

/// The longest error and the longest payload that are shown, in characters.
const LONGEST: usize = 100_000;

/// Runs a command for dead letters.
pub(super) async fn run(
    command: Letters,
    ops: &Ops,
    out: &mut Output,
    terminal: &mut dyn Terminal,
) -> Result<Exit, OpsError> {
    match command {
        Letters::Ls { which, limit } => list(&which, limit, ops, out).await,
        Letters::Causes { which } => causes(&which, ops, out, terminal).await,
        Letters::Show { address, payload } => show(&address, payload, ops, out).await,
        Letters::Export {
            which,
            after,
            payload,
        } => export::export(&which, after.as_ref(), payload, ops, out, terminal).await,
        Letters::Replay {
            act,
            canary,
            rate,
            stop_after,
            max_replays,
            wait,
        } => {
            let mut pace = kser_ops::Pace::default();
            (pace.canary, pace.rate, pace.wait) = (canary, rate, wait);
            pace.stop_after = stop_after;
            let verb = kser_ops::LetterVerb::Replay;
            letter_acts::act(verb, act, Some(max_replays), &pace, ops, out, terminal).await
        }
        Letters::Renew { act } => {
            let (verb, pace) = (kser_ops::LetterVerb::Renew, kser_ops::Pace::default());
            letter_acts::act(verb, act, None, &pace, ops, out, terminal).await
        }
        Letters::Discard { act } => {
            let (verb, pace) = (kser_ops::LetterVerb::Discard, kser_ops::Pace::default());
            letter_acts::act(verb, act, None, &pace, ops, out, terminal).await
        }
    }
}

/// Makes the filter of the model.
pub(super) fn filter(of: &Filter, ops: &Ops) -> LetterFilter {
    let mut filter = LetterFilter::default();
    filter.cause.clone_from(&of.cause);
    filter.run = of.run.as_deref().map(Into::into);
    filter.since = of.since.map(|since| {
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(ops.now().as_millis().saturating_sub(since))
    });
    filter
}

async fn list(which: &Which, limit: usize, ops: &Ops, out: &mut Output) -> Result<Exit, OpsError> {
    let filter = filter(&which.filter, ops);
    let mut view = ops.letters(which.topic.as_deref(), filter).await?;
    let mut letters = Vec::new();
    while letters.len() <= limit
        && let Some(page) = view.next_page().await?
    {
        letters.extend(page);
    }
    let more = letters.len() > limit;
    letters.truncate(limit);
    if out.is_json() {
        out.document(&letters)?;
        return Ok(Exit::Done);
    }
    if letters.is_empty() {
        out.line("there are no such dead letters");
        return Ok(Exit::Done);
    }
    let rows = letters.iter().map(|letter| {
        [
            letter.address.to_string(),
            letter.cause.to_string(),
            or_dash(letter.entrypoint.as_ref()),
            or_dash(letter.run.as_ref()),
            out.ago(letter.failed()),
            letter.replays.to_string(),
            letter.error.clone(),
        ]
    });
    let rows = rows.collect();
    let head = [
        "ADDRESS",
        "CAUSE",
        "TASK",
        "RUN",
        "FAILED AGO",
        "REPLAYS",
        "WHY",
    ];
    out.table(head, rows);
    if more {
        out.line(format!("… there are more: -n {}", limit.saturating_mul(2)));
    }
    Ok(Exit::Done)
}

async fn causes(
    which: &Which,
    ops: &Ops,
    out: &mut Output,
    terminal: &mut dyn Terminal,
) -> Result<Exit, OpsError> {
    let filter = filter(&which.filter, ops);
    let mut view = ops.letters(which.topic.as_deref(), filter).await?;
    let mut counter = CauseCounter::default();
    while let Some(page) = view.next_page().await? {
        page.iter().for_each(|letter| counter.count(letter));
        terminal.progress(view.read(), None);
    }
    terminal.end_progress();
    let found = counter.causes();
    match out.is_json() {
        true => out.document(&found)?,
        false => print_causes(&found, out),
    }
    Ok(Exit::Done)
}

fn print_causes(found: &Causes, out: &mut Output) {
    if found.letters == 0 {
        return out.line("there are no such dead letters");
    }
    let rows = found.causes.iter().map(|cause| {
        [
            cause.cause.to_string(),
            count(cause.letters),
            count(cause.runs),
            or_dash(cause.entrypoint.as_ref()),
            out.ago(cause.first),
            out.ago(cause.last),
            cause.replays.to_string(),
            cause.pattern.clone(),
        ]
    });
    let rows = rows.collect();
    let head = [
        "CAUSE", "LETTERS", "RUNS", "TASK", "FIRST", "LAST", "REPLAYS", "WHY",
    ];
    out.table(head, rows);
    if let Some(first) = found.causes.first() {
        let (cause, sample) = (first.cause, clean(&first.sample.address.to_string(), 400));
        out.line(format!("look at one: kser letters show {sample}"));
        out.line(format!(
            "once it is mended: kser letters replay --all-topics --cause {cause} --canary 1"
        ));
    }
    if found.others > 0 {
        out.line(format!(
            "… {} letters have further causes",
            count(found.others)
        ));
    }
}

async fn show(
    address: &LetterAddress,
    with_payload: bool,
    ops: &Ops,
    out: &mut Output,
) -> Result<Exit, OpsError> {
    let (letter, record) = ops.letter(address).await?;
    let payload = record.payload.as_deref().map(String::from_utf8_lossy);
    let payload = payload.filter(|_| with_payload);
    if out.is_json() {
        out.document(&LetterDocument {
            letter: &letter,
            payload: payload.as_deref(),
        })?;
        return Ok(Exit::Done);
    }
    print(&letter, out);
    match payload {
        Some(payload) => out.line(clean(&payload, LONGEST)),
        None => out.line("payload    hidden: it may have secrets; --payload shows it"),
    }
    Ok(Exit::Done)
}

fn print(letter: &Letter, out: &mut Output) {
    let step = letter.step.map(|step| format!(", step {step}"));
    let run = letter
        .run
        .as_ref()
        .map(|run| format!("{run}{}", step.unwrap_or_default()));
    let at = |at: Option<Timestamp>| {
        at.map_or_else(
            || "-".to_owned(),
            |it| format!("{it}, {} ago", out.ago(Some(it))),
        )
    };
    let rows = [
        ("address", letter.address.to_string()),
        ("cause", letter.cause.to_string()),
        ("task", or_dash(letter.entrypoint.as_ref())),
        ("run", or_dash(run.as_ref())),
        ("error", letter.error.clone()),
        ("code", or_dash(letter.code.as_ref())),
        ("attempts", letter.attempts.to_string()),
        ("replays", letter.replays.to_string()),
        ("first", at(letter.first_failed)),
        ("last", at(letter.last_failed)),
        ("from", or_dash(letter.origin.as_ref())),
        ("group", or_dash(letter.group.as_ref())),
        (
            "bytes",
            count(u64::try_from(letter.bytes).unwrap_or(u64::MAX)),
        ),
    ];
    for (name, value) in rows {
        out.line(format!("{name:<10} {}", clean(&value, LONGEST)));
    }
}
