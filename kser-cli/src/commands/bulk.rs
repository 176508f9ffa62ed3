use kser_ops::{LeftLetter, LetterPlan, LetterReport, LetterVerb, Ops, OpsError, Pace};
use serde::Serialize;

use super::letters::filter;
use crate::args::{Act, Consent};
use crate::exit::Exit;
use crate::output::{Output, clean, count};
use crate::terminal::Terminal;

/// The reasons that are shown.
const SHOWN: usize = 10;

/// The plan of an act, and its report if it was carried out.
#[derive(Serialize)]
struct Document<'a> {
    plan: &'a LetterPlan,
    report: Option<&'a LetterReport>,
}

/// Acts on dead letters: shows the plan, asks for the number, and carries it out.
pub(super) async fn letters(
    verb: LetterVerb,
    act: Act,
    max_replays: Option<u64>,
    pace: &Pace,
    ops: &Ops,
    out: &mut Output,
    terminal: &mut dyn Terminal,
) -> Result<Exit, OpsError> {
    let mut filter = filter(&act.filter, ops);
    let is_named = act.addresses.len() == 1;
    filter.max_replays = max_replays.filter(|_| !is_named);
    filter.addresses = act.addresses;
    let plan = ops.plan_letters(verb, act.topic.as_deref(), filter).await?;
    let is_meant = is_named && !act.consent.dry_run;
    if !out.is_json() && (!is_meant || plan.taken == 0) {
        print_plan(&plan, out);
    }
    let consent = match (plan.taken, is_meant) {
        (0, _) => None,
        (_, true) => Some(()),
        _ => ask(&act.consent, plan.taken, out, terminal)?,
    };
    let report = match consent {
        Some(()) => {
            let tell = |report: &LetterReport| terminal.progress(report.done, plan.taken);
            Some(ops.act_on_letters(&plan, pace, tell).await?)
        }
        None => None,
    };
    terminal.end_progress();
    match (out.is_json(), &report) {
        (true, report) => out.document(&Document {
            plan: &plan,
            report: report.as_ref(),
        })?,
        (false, Some(report)) => print_report(verb, report, out),
        (false, None) if plan.taken > 0 => out.line("nothing was done"),
        (false, None) => {}
    }
    Ok(end(&plan, report.as_ref(), act.consent.dry_run))
}

fn end(plan: &LetterPlan, report: Option<&LetterReport>, dry_run: bool) -> Exit {
    match report {
        Some(report) if !report.is_complete() => Exit::Part,
        Some(report) if report.failed_again > 0 => Exit::Bad,
        None if plan.taken > 0 && !dry_run => Exit::Refused,
        _ if plan.refused > 0 && plan.taken == 0 => Exit::Refused,
        _ => Exit::Done,
    }
}

/// Asks for the number, unless it was given.
fn ask(
    consent: &Consent,
    taken: u64,
    out: &mut Output,
    terminal: &mut dyn Terminal,
) -> Result<Option<()>, OpsError> {
    let refused = |reason| Err(OpsError::Refused { reason });
    match consent.yes {
        Some(yes) if yes == taken => return Ok(Some(())),
        Some(yes) => {
            let reason = format!("--yes says {yes}, and it would take {taken}: nothing was done");
            return refused(reason);
        }
        None if consent.dry_run => return Ok(None),
        None => {}
    }
    if out.is_json() {
        return refused(format!(
            "nothing was done: it takes --yes {taken}, or --dry-run"
        ));
    }
    let question = format!("This is a dry run. Type {taken} to go on: ");
    let shown = std::mem::take(out.text_mut());
    match terminal.ask(&shown, &question) {
        Some(answer) => Ok((answer.trim() == taken.to_string()).then_some(())),
        None => {
            *out.text_mut() = shown;
            out.line(format!("This is a dry run: --yes {taken} does it."));
            Ok(None)
        }
    }
}

fn print_plan(plan: &LetterPlan, out: &mut Output) {
    let verb = match plan.verb {
        LetterVerb::Discard => "would be discarded",
        _ => "would be replayed; done steps would not run again",
    };
    let letters = match plan.taken {
        1 => "letter",
        _ => "letters",
    };
    out.line(format!("{} dead {letters} {verb}", count(plan.taken)));
    if let (Some(sample), Some(oldest)) = (&plan.sample, plan.oldest) {
        let error = clean(&sample.error, 200);
        let oldest = out.ago(Some(oldest));
        out.line(format!(
            "the oldest failed {oldest} ago; the first is {}: {error}",
            sample.address
        ));
    }
    print_left("would be left", plan.refused, &plan.left, out);
}

fn print_left(how: &str, refused: u64, left: &[LeftLetter], out: &mut Output) {
    if refused == 0 {
        return;
    }
    out.line(format!("{} {how}:", count(refused)));
    for left in left.iter().take(SHOWN) {
        out.line(format!("  {}  {}", left.address, clean(&left.reason, 200)));
    }
    let shown = u64::try_from(left.len().min(SHOWN)).unwrap_or_default();
    if refused > shown {
        out.line(format!("  … and {} more", count(refused - shown)));
    }
}

fn print_report(verb: LetterVerb, report: &LetterReport, out: &mut Output) {
    let done = count(report.done);
    match verb {
        LetterVerb::Discard => out.line(format!("{done} discarded")),
        _ => {
            let (succeeded, failed) = (report.succeeded, report.failed_again);
            let unknown = report.unknown;
            out.line(format!(
                "{done} replayed · {} succeeded · {} failed again · {} still run or cannot be followed",
                count(succeeded),
                count(failed),
                count(unknown)
            ));
        }
    }
    if let Some(stopped) = &report.stopped {
        let left = count(report.not_tried);
        out.alert(&format!(
            "stopped: {}; {left} were not tried",
            clean(stopped, 400)
        ));
    }
    print_left("left", report.refused, &report.left, out);
}
