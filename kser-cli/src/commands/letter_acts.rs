use kser_ops::{ActDocument, ActReport, LeftLetter, LetterPlan, LetterVerb, Ops, OpsError, Pace};

use super::bulk::{Done, Preview, left};
use super::letters::filter;
use crate::args::Act;
use crate::exit::Exit;
use crate::output::{Output, clean};
use crate::terminal::Terminal;

/// Acts on dead letters: shows the plan, asks for the number, and carries it out.
pub(super) async fn act(
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
    let preview = preview(&plan, out);
    let report = match preview.consent(&act.consent, is_named, out, terminal)? {
        true => {
            let tell =
                |report: &ActReport<LeftLetter>| terminal.progress(report.done, Some(plan.taken));
            Some(ops.act_on_letters(&plan, pace, tell).await?)
        }
        false => None,
    };
    terminal.end_progress();
    let report = report.as_ref();
    let is_replay = verb == LetterVerb::Replay;
    let done = report.map(|report| Done::new(report, participle(verb), is_replay));
    match &done {
        _ if out.is_json() => out.document(&ActDocument {
            plan: &plan,
            report,
        })?,
        Some(done) => done.print(out),
        None if plan.taken > 0 => out.line("nothing was done"),
        None => {}
    }
    let end = || preview.end(act.consent.dry_run);
    Ok(done.map_or_else(end, |done| done.end()))
}

fn preview<'a>(plan: &'a LetterPlan, out: &Output) -> Preview<'a> {
    let about = plan.sample.as_ref().zip(plan.oldest);
    let about = about.map(|(sample, oldest)| {
        let (oldest, error) = (out.ago(Some(oldest)), clean(&sample.error, 200));
        let first = &sample.address;
        format!("the oldest failed {oldest} ago; the first is {first}: {error}")
    });
    Preview {
        nouns: ["dead letter", "dead letters"],
        would_be: match plan.verb {
            LetterVerb::Discard => "discarded",
            LetterVerb::Renew => "written again, and kept anew",
            _ => "replayed; done steps would not run again",
        },
        taken: plan.taken,
        refused: plan.refused,
        left: left(&plan.left),
        about,
    }
}

const fn participle(verb: LetterVerb) -> &'static str {
    match verb {
        LetterVerb::Discard => "discarded",
        LetterVerb::Renew => "renewed",
        _ => "replayed",
    }
}
