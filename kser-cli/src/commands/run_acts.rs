use std::time::Duration;

use kser_ops::{ActDocument, ActReport, LeftRun, Ops, OpsError, Pace, RunAct, RunChoice, RunPlan};

use super::bulk::{Done, Preview, left};
use super::{input, runs};
use crate::args::{By, Consent, RunActs, Runs, StepAct};
use crate::exit::Exit;
use crate::output::Output;
use crate::terminal::Terminal;

/// The time that the runs of an act on many have to end.
const WAIT: Duration = Duration::from_secs(60);

/// An act as it was asked for.
struct Asked {
    act: RunAct,
    choice: RunChoice,
    pace: Pace,
    consent: Consent,
    by: By,
}

/// Runs a command that acts on runs.
pub(super) async fn run(
    command: Runs,
    ops: &Ops,
    out: &mut Output,
    terminal: &mut dyn Terminal,
) -> Result<Exit, OpsError> {
    let asked = match command {
        Runs::Resume(acts) => Asked::many(RunAct::Resume, acts, ops).await?,
        Runs::Cancel(acts) => Asked::many(RunAct::Cancel, acts, ops).await?,
        Runs::Purge(acts) => Asked::many(RunAct::Purge, acts, ops).await?,
        Runs::Retry { act, step } => Asked::many(RunAct::Retry { step }, act, ops).await?,
        Runs::Skip(act) => {
            let (step, outcome) = (act.step, input::outcome(&act.outcome)?);
            Asked::one(RunAct::Skip { step, outcome }, act, ops).await?
        }
        Runs::Report(act) => {
            let (step, outcome) = (act.step, input::outcome(&act.outcome)?);
            Asked::one(RunAct::Report { step, outcome }, act, ops).await?
        }
        _ => return Ok(Exit::Usage),
    };
    asked.carry_out(ops, out, terminal).await
}

impl Asked {
    async fn many(act: RunAct, acts: RunActs, ops: &Ops) -> Result<Self, OpsError> {
        let choice = match acts.ids.is_empty() {
            false => RunChoice::Ids(found(&acts.ids, ops).await?),
            true => {
                let mut filter = runs::times(&acts.filter.times, ops);
                filter.status = acts.filter.status;
                if acts.cause.is_some() {
                    filter.status = Some(kser::run::Status::Failed);
                }
                RunChoice::Filter(filter, acts.cause)
            }
        };
        let mut pace = Pace::default();
        (pace.canary, pace.rate, pace.stop_after) = (acts.canary, acts.rate, acts.stop_after);
        pace.wait = acts.wait.unwrap_or(match acts.ids.len() {
            1 => Duration::ZERO,
            _ => WAIT,
        });
        Ok(Self {
            act,
            choice,
            pace,
            consent: acts.consent,
            by: acts.by,
        })
    }

    async fn one(act: RunAct, asked: StepAct, ops: &Ops) -> Result<Self, OpsError> {
        let mut pace = Pace::default();
        pace.wait = Duration::ZERO;
        Ok(Self {
            act,
            choice: RunChoice::Ids(vec![ops.within_limit(ops.find_run(&asked.id)).await?]),
            pace,
            consent: Consent {
                yes: None,
                dry_run: asked.dry_run,
            },
            by: asked.by,
        })
    }

    async fn carry_out(
        self,
        ops: &Ops,
        out: &mut Output,
        terminal: &mut dyn Terminal,
    ) -> Result<Exit, OpsError> {
        let is_named = matches!(&self.choice, RunChoice::Ids(ids) if ids.len() == 1);
        let plan = ops.plan_runs(self.act, self.choice);
        let plan = match is_named {
            true => ops.within_limit(plan).await?,
            false => plan.await?,
        };
        let preview = preview(&plan);
        let by = (self.by.actor.as_str(), self.by.reason.as_str());
        let report = match preview.consent(&self.consent, is_named, out, terminal)? {
            true => {
                let tell =
                    |report: &ActReport<LeftRun>| terminal.progress(report.done, Some(plan.taken));
                Some(ops.act_on_runs(&plan, by, &self.pace, tell).await?)
            }
            false => None,
        };
        terminal.end_progress();
        let report = report.as_ref();
        let ends_at_once = matches!(plan.act, RunAct::Cancel | RunAct::Purge);
        let is_followed = !self.pace.wait.is_zero() && !ends_at_once;
        let done = report.map(|report| Done::new(report, words(&plan.act).1, is_followed));
        match &done {
            _ if out.is_json() => out.document(&ActDocument {
                plan: &plan,
                report,
            })?,
            Some(done) => done.print(out),
            None if plan.taken > 0 => out.line("nothing was done"),
            None => {}
        }
        let end = || preview.end(self.consent.dry_run);
        Ok(done.map_or_else(end, |done| done.end()))
    }
}

/// Finds each of the runs.
pub(super) async fn found(ids: &[String], ops: &Ops) -> Result<Vec<kser::run::RunId>, OpsError> {
    let mut found = Vec::new();
    for id in ids {
        let id = ops.within_limit(ops.find_run(id)).await?;
        if !found.contains(&id) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Returns the words for an act: to be done, and done.
const fn words(act: &RunAct) -> (&'static str, &'static str) {
    match act {
        RunAct::Resume => ("resumed; done steps would not run again", "resumed"),
        RunAct::Cancel => ("cancelled", "cancelled"),
        RunAct::Retry { .. } => ("tried again at their steps", "tried again"),
        RunAct::Skip { .. } => ("taken past the step", "taken past the step"),
        RunAct::Report { .. } => ("told the end of the step", "told the end of the step"),
        RunAct::Purge => ("forgotten, with their histories", "forgotten"),
        _ => ("changed", "changed"),
    }
}

fn preview(plan: &RunPlan) -> Preview<'_> {
    let sample = plan.sample.as_ref().filter(|_| plan.taken > 1);
    Preview {
        nouns: ["run", "runs"],
        would_be: words(&plan.act).0,
        taken: plan.taken,
        refused: plan.refused,
        left: left(&plan.left),
        about: sample.map(|run| format!("the first is {run}: kser runs show {run}")),
    }
}
