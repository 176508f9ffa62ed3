//! An act on many: a plan that is shown, the number that a person types, and an act in the background.

use std::time::Duration;

use axum::response::{IntoResponse, Redirect, Response};
use kser_ops::{LetterFilter, LetterVerb, OpsError, Pace, RunChoice};

use super::one::{class, reason, refused};
use super::plans::{Plan, Planned};
use super::words::{self, MANY};
use crate::access::Visitor;
use crate::answer::Web;
use crate::html::{Markup, Page, Tab, cell, count, html, text};
use crate::pages::{letter_list, runs};
use crate::params::Params;

/// The most replays before, beyond which a letter is left. The program `kser` has the same.
const MAX_REPLAYS: u64 = 3;

/// The reasons that are shown beforehand.
const REASONS: usize = 20;

/// The longest time that a plan may take: it asks the rules for each letter of a stored run.
const PLANS: Duration = Duration::from_secs(60);

/// Makes the plan of an act on letters or runs, and draws it.
pub(crate) async fn preview(
    web: &Web,
    kind: &str,
    name: &str,
    params: &Params,
) -> Result<Page, OpsError> {
    let planning = plan(web, kind, name, params);
    let planned = tokio::time::timeout(PLANS, planning).await;
    let (words, plan) = planned.unwrap_or(Err(OpsError::TimedOut {
        what: "the plan of the act",
        limit: PLANS,
    }))?;
    let names = [
        "topic", "cause", "address", "run", "status", "op", "since", "until",
    ];
    let choice = names
        .into_iter()
        .filter_map(|name| Some(format!("{name} {}", params.get(name)?)));
    let choice = choice.collect::<Vec<_>>().join(" · ");
    let kept = web.plans.keep(words, plan, choice);
    let kept = kept.map_err(|error| OpsError::Invalid {
        what: "the plan".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(page(web, &kept))
}

/// Asks the rules for an act on letters or runs.
pub(crate) async fn plan(
    web: &Web,
    kind: &str,
    name: &str,
    params: &Params,
) -> Result<(words::Words, Plan), OpsError> {
    match kind {
        "letters" => {
            let (words, verb) = words::of_letters(name)?;
            let filter = letters(verb, params)?;
            let topic = params.get("topic").map(str::trim);
            let plan = web.ops.plan_letters(verb, topic, filter).await?;
            Ok((words, Plan::Letters(plan)))
        }
        "runs" if MANY.contains(&name) => {
            let words = words::of_runs(name)?;
            let mut filter = runs::filter(params, web.ops.now())?.with_after(None);
            let cause = params.read("cause")?;
            if cause.is_some() {
                filter.status = Some(kser::run::Status::Failed);
            }
            let choice = RunChoice::Filter(filter, cause);
            let plan = web
                .ops
                .plan_runs(words::run_act(name, &Params::default())?, choice)
                .await?;
            Ok((words, Plan::Runs(plan)))
        }
        _ => Err(OpsError::NotFound {
            what: format!("there is no act {name} on {kind}"),
        }),
    }
}

fn letters(verb: LetterVerb, params: &Params) -> Result<LetterFilter, OpsError> {
    let mut filter = letter_list::filter(params)?;
    filter.addresses.extend(params.read("address")?);
    let is_one = !filter.addresses.is_empty();
    filter.max_replays = (verb == LetterVerb::Replay && !is_one).then_some(MAX_REPLAYS);
    Ok(filter)
}

/// Draws a plan.
pub(crate) fn page(web: &Web, planned: &Planned) -> Page {
    let (words, plan) = (planned.words, &planned.plan);
    let (taken, refused) = (plan.taken(), plan.refused());
    let title = format!("{} {} {}", words.button, count(taken), plan.noun(taken));
    let body = html! {
        h1 { (title) }
        @if !planned.choice.is_empty() { p.found { (cell(&planned.choice)) } }
        section id="plan" data-taken=(taken) data-refused=(refused) {
            p { b { (count(taken)) " " (plan.noun(taken)) } " would be " (words.would_be) "." }
            (sample(web, plan))
            (left(plan))
        }
        @if taken > 0 { (form(web, planned)) }
    };
    let tab = match plan {
        Plan::Letters(_) => Tab::Letters,
        Plan::Runs(_) => Tab::Runs,
    };
    Page::new(title, tab, body)
}

fn sample(web: &Web, plan: &Plan) -> Markup {
    let links = web.options.links();
    html! {
        @match plan {
            Plan::Letters(plan) => @if let Some(letter) = &plan.sample {
                p { "The first is " a href=(links.letter(&letter.address)) { (cell(&letter.address.to_string())) } ": " (cell(&letter.error)) }
            },
            Plan::Runs(plan) => @if let Some(run) = &plan.sample {
                p { "The first is " a href=(links.run(run)) { (cell(run.as_str())) } "." }
            },
        }
    }
}

fn left(plan: &Plan) -> Markup {
    let left: Vec<(String, &str)> = match plan {
        Plan::Letters(plan) => plan
            .left
            .iter()
            .take(REASONS)
            .map(|it| (it.address.to_string(), it.reason.as_str()))
            .collect(),
        Plan::Runs(plan) => plan
            .left
            .iter()
            .take(REASONS)
            .map(|it| (it.run.to_string(), it.reason.as_str()))
            .collect(),
    };
    let refused = plan.refused();
    html! {
        @if refused > 0 {
            p { b { (count(refused)) } " would be left:" }
            (reasons(&left))
            @if refused > u64::try_from(left.len()).unwrap_or(u64::MAX) { p.more { "and others" } }
        }
    }
}

/// Lists those that are left, with the reasons.
pub(crate) fn reasons<S: AsRef<str>>(left: &[(S, &str)]) -> Markup {
    html! { ul.plain { @for (subject, reason) in left { li { b { (cell(subject.as_ref())) } " " (cell(reason)) } } } }
}

fn form(web: &Web, planned: &Planned) -> Markup {
    let (words, taken) = (planned.words, planned.plan.taken());
    let is_many = taken > 1;
    let is_followed = planned.plan.is_followed(words) && is_many;
    html! {
        form.act method="post" action=(web.options.links().to(&format!("/plans/{}", planned.id))) id="act" {
            @if is_followed {
                fieldset {
                    legend { "Brake" }
                    label { "First " input.short name="canary" value="1" inputmode="numeric"; " and the others when these have succeeded" }
                    label { "Stop when " input.short name="stop_after" value="3" inputmode="numeric"; " have failed again" }
                    label { "At most " input.short name="rate" inputmode="numeric"; " a second" }
                    label { "Wait for the ends for " input.short name="wait" value="60s"; }
                }
            }
            (reason(is_many))
            @if is_many {
                label { "Type " b { (taken) } " to go on " input.short name="expect" inputmode="numeric" autocomplete="off" required; }
            } @else { input type="hidden" name="expect" value=(taken); }
            button.(class(words)) { (words.button) " " (count(taken)) }
        }
    }
}

/// Begins an act as it was planned, if its number is typed, and leads to its progress.
pub(crate) fn begin(web: &Web, visitor: &Visitor, id: &str, form: &Params) -> Response {
    match try_begin(web, visitor, id, form) {
        Ok(to) => Redirect::to(&to).into_response(),
        Err(Refusal::Error(error)) => web.fail(visitor, &error),
        Err(Refusal::Plan(why)) => {
            let back = web.options.links().to(&format!("/plans/{id}"));
            web.answer(visitor, &refused("Nothing was done", &why, &back))
        }
    }
}

/// The reason why an act does not begin.
enum Refusal {
    Error(OpsError),
    /// The plan is kept: the person may try again.
    Plan(String),
}

impl From<OpsError> for Refusal {
    fn from(error: OpsError) -> Self {
        Self::Error(error)
    }
}

fn try_begin(web: &Web, visitor: &Visitor, id: &str, form: &Params) -> Result<String, Refusal> {
    let planned = web.plans.find(id)?;
    let taken = planned.plan.taken();
    let typed = form
        .get("expect")
        .unwrap_or_default()
        .trim()
        .replace(',', "");
    if typed != taken.to_string() {
        let typed = text(&typed, 40);
        return Err(Refusal::Plan(format!(
            "{typed:?} was typed, and the act would take {taken}."
        )));
    }
    let reason = text(form.get("reason").unwrap_or_default(), 500);
    if taken > 1 && reason.is_empty() {
        return Err(Refusal::Plan("An act on many needs a reason.".to_owned()));
    }
    let pace = pace(form)?;
    let planned = web.plans.take(id)?;
    let actor = visitor.actor.as_str();
    tracing::info!(target: "kser", actor, reason, act = planned.words.name, of = planned.plan.noun(2), taken, choice = text(&planned.choice, 500), "an act on many begins");
    let job = web.jobs.begin(&web.ops, planned, (actor, &reason), pace);
    let job = job.map_err(|error| OpsError::Invalid {
        what: "the act".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(web.options.links().to(&format!("/acts/{}", job.id)))
}

/// Reads the brake of an act.
pub(crate) fn pace(form: &Params) -> Result<Pace, OpsError> {
    let mut pace = Pace::default();
    pace.canary = form.read("canary")?.unwrap_or_default();
    pace.rate = form.read("rate")?;
    pace.stop_after = form.read("stop_after")?;
    if let Some(wait) = form.get("wait") {
        pace.wait = humantime::parse_duration(wait.trim()).map_err(|error| OpsError::Invalid {
            what: format!("wait={wait:?}"),
            reason: error.to_string(),
        })?;
    }
    Ok(pace)
}
