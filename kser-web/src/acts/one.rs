//! An act on one run: shown, and carried out at once.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use kser::run::RunId;
use kser_ops::{OpsError, Pace, RunAct, RunChoice, RunPlan};

use super::words::{self, RUNS, Words};
use crate::access::Visitor;
use crate::answer::Web;
use crate::html::{Markup, Page, Tab, cell, html, text};
use crate::params::Params;

/// The longest reason that is kept, in characters.
const LONGEST: usize = 500;

/// Asks the rules for an act on one run.
async fn plan(web: &Web, id: &RunId, act: RunAct) -> Result<RunPlan, OpsError> {
    let choice = RunChoice::Ids(vec![id.clone()]);
    web.ops.plan_runs(act, choice).await
}

/// Draws the acts that the rules allow for a run now, as links to their previews.
pub(crate) async fn offers(web: &Web, id: &RunId, step: u32) -> Result<Markup, OpsError> {
    let position = step.to_string();
    let params = Params::default()
        .with("step", Some(&position))
        .with("outcome", Some("{}"));
    let mut allowed = Vec::new();
    for words in RUNS {
        let act = words::run_act(words.name, &params)?;
        let plan = plan(web, id, act).await?;
        allowed.extend((plan.taken > 0).then_some(words));
    }
    let links = web.options.links();
    Ok(html! {
        nav.acts aria-label="Acts on the run" {
            @for words in allowed {
                a.button href=(links.act(id, words.name)) data-act=(words.name) { (words.button) "…" }
            }
            @if step > 0 { a.button href=(links.act(id, "fork")) data-act="fork" { "Fork…" } }
        }
    })
}

/// Draws the preview of an act on a run.
pub(crate) async fn page(
    web: &Web,
    id: &str,
    name: &str,
    params: &Params,
) -> Result<Page, OpsError> {
    let id = RunId::from(id);
    let state = web.ops.run_state(&id).await?;
    let position = state.position.to_string();
    let form = match name {
        "fork" => fork(web, &id, &position),
        _ => {
            let words = words::of_runs(name)?;
            let asked = params
                .clone()
                .with("step", Some(params.get("step").unwrap_or(&position)));
            let asked = asked.with("outcome", Some(params.get("outcome").unwrap_or("{}")));
            let plan = plan(web, &id, words::run_act(name, &asked)?).await?;
            shown(web, &id, words, &plan, &position)
        }
    };
    let title = format!("{name} {}", cell(id.as_str()));
    let body = html! {
        h1 { (title) }
        (form)
        p { a href=(web.options.links().run(&id)) { "Back to the run" } }
    };
    Ok(Page::new(title, Tab::Runs, body).with_command(format!("kser runs {name} {id}")))
}

fn shown(web: &Web, id: &RunId, words: Words, plan: &RunPlan, position: &str) -> Markup {
    let takes_step = matches!(words.name, "skip" | "report");
    html! {
        @if let Some(left) = plan.left.first() {
            section.why.bad id="refused" { p { "It would be refused: " (cell(&left.reason)) } }
        } @else {
            form.act method="post" action=(web.options.links().act(id, words.name)) id="act" {
                p { "The run would be " (words.would_be) "." }
                @if takes_step {
                    input type="hidden" name="step" value=(position);
                    label { "Outcome of step " (position) ": a text, or JSON such as " code { r#"{"stdout":"by hand"}"# }
                        textarea name="outcome" rows="4" required {} }
                }
                (reason(false))
                button.(class(words)) { (words.button) }
            }
        }
    }
}

fn fork(web: &Web, id: &RunId, position: &str) -> Markup {
    html! {
        form.act method="post" action=(web.options.links().act(id, "fork")) id="act" {
            p { "A new run would repeat this one from a step on, with the outcomes of the steps before it." }
            label { "First step that runs again " input.short name="from" value=(position) inputmode="numeric" required; }
            button.primary { "Fork" }
        }
    }
}

/// Draws the field of the reason.
pub(crate) fn reason(is_required: bool) -> Markup {
    html! {
        label { "Reason, which is kept" @if !is_required { " (optional)" }
            input name="reason" maxlength=(LONGEST) required[is_required]; }
    }
}

pub(crate) const fn class(words: Words) -> &'static str {
    match words.is_final {
        true => "danger",
        false => "primary",
    }
}

/// Carries an act on a run out, and leads to the run.
pub(crate) async fn carry_out(
    web: &Web,
    visitor: &Visitor,
    id: &str,
    name: &str,
    form: &Params,
) -> Response {
    let id = RunId::from(id);
    let done = web.in_time(act(web, visitor, &id, name, form)).await;
    match done {
        Ok(to) => Redirect::to(&to).into_response(),
        Err(error) => web.fail(visitor, &error),
    }
}

async fn act(
    web: &Web,
    visitor: &Visitor,
    id: &RunId,
    name: &str,
    form: &Params,
) -> Result<String, OpsError> {
    let links = web.options.links();
    let actor = visitor.actor.as_str();
    let reason = text(form.get("reason").unwrap_or_default(), LONGEST);
    if name == "fork" {
        let missing = || OpsError::Invalid {
            what: "the first step".to_owned(),
            reason: "it is missing".to_owned(),
        };
        let from = form.read::<u32>("from")?.ok_or_else(missing)?;
        let forked = web.ops.fork_run(id, from).await?;
        tracing::info!(target: "kser", actor, run = id.as_str(), from, forked = forked.as_str(), "a run was forked");
        return Ok(links.run(&forked));
    }
    let plan = plan(web, id, words::run_act(name, form)?).await?;
    let mut pace = Pace::default();
    pace.wait = std::time::Duration::ZERO;
    let report = web
        .ops
        .act_on_runs(&plan, (actor, &reason), &pace, |_| {})
        .await?;
    let left = plan.left.first().or(report.left.first());
    if let Some(left) = left {
        return Err(OpsError::Refused {
            reason: format!("run {id}: {}", left.reason),
        });
    }
    if let Some(stopped) = report.stopped {
        return Err(OpsError::Needs {
            what: "an act on a run",
            part: "the state store",
            reason: stopped,
            temporary: true,
        });
    }
    tracing::info!(target: "kser", actor, reason, act = name, run = id.as_str(), "an act on a run was carried out");
    Ok(match name {
        "purge" => links.runs(&[]),
        _ => links.run(id),
    })
}

/// Draws a refusal of an act, with the way back.
pub(crate) fn refused(title: &str, why: &str, back: &str) -> Page {
    let mut page = Page::new(
        title,
        Tab::None,
        html! {
            h1 { (title) }
            p.why { (text(why, 2000)) }
            p { a href=(back) { "Look again" } }
        },
    );
    page.status = StatusCode::CONFLICT;
    page
}
