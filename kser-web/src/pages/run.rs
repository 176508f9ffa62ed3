use kser::run::{RunId, Status};
use kser_ops::{Diagnosis, Estimate, OpsError, RunChain, Spoken};

use crate::access::Visitor;
use crate::acts::one;
use crate::answer::Web;
use crate::html::chain::Drawing;
use crate::html::{Markup, Page, Tab, ago, at, cell, html, stands, status, text};
use crate::params::Params;
use crate::payload;

/// Draws a run as its chain.
pub(crate) async fn page(
    web: &Web,
    visitor: &Visitor,
    id: &str,
    params: &Params,
) -> Result<Page, OpsError> {
    let id = RunId::from(id);
    let shown = params.read::<u32>("show")?;
    let around = params.read("at")?.or(shown);
    let chain = web.ops.chain(&id, around, shown.is_some()).await?;
    let diagnosis = web.ops.diagnose(&id).await?;
    let left = web.ops.estimate(&id).await?;
    let offers = match visitor.may_act {
        true => Some(one::offers(web, &id, chain.run.position).await?),
        false => None,
    };
    let payloads = shown.map(|step| payloads(web, &chain, step));
    let drawing = Drawing {
        links: web.options.links(),
        chain: &chain,
        around: around.unwrap_or(chain.run.position),
        shown,
        payloads,
    };
    let body = html! {
        (head(&chain))
        @if let Some(offers) = offers { (offers) }
        (why(&diagnosis, &chain, left.as_ref()))
        (drawing.draw())
    };
    let title = format!(
        "{} {}",
        cell(chain.run.operation.as_str()),
        cell(id.as_str())
    );
    let page = Page::new(title, Tab::Runs, body);
    let command = format!("kser runs show {id}");
    Ok(page
        .with_command(command)
        .seeing(format!("run:{}", crate::links::part(id.as_str()))))
}

fn head(chain: &RunChain) -> Markup {
    let run = &chain.run;
    let now = chain.now;
    html! {
        h1.run data-run=(cell(run.id.as_str())) data-status=(run.status) {
            span.op { (cell(run.operation.as_str())) }
            code { (text(run.id.as_str(), 400)) }
            (status(run.status))
        }
        dl.facts {
            dt { "stands at" } dd id="stands" { (stands((run.position, run.steps))) }
            dt { "launched" } dd { (ago(run.launched, now)) " · " (at(run.launched)) }
            dt { "changed" } dd { (ago(run.changed, now)) }
            @if run.status.is_terminal() { dt { "took" } dd { (Spoken(run.changed.since(run.launched))) } }
        }
    }
}

fn why(diagnosis: &Diagnosis, chain: &RunChain, left: Option<&Estimate>) -> Markup {
    html! {
        section.why.(class(chain)) id="why" data-reason=(reason(diagnosis)) {
            p { (text(&diagnosis.text, 600)) }
            @if !diagnosis.command.is_empty() { p.next { "next " code { (text(&diagnosis.command, 400)) } } }
            @if let Some(failure) = &chain.run.failure { p.cause { "cause " code { (failure.cause.to_string()) } } }
            @if let Some(left) = left {
                p.about {
                    progress max="1" value=(format!("{:.3}", left.share)) {}
                    " about " (Spoken(left.left)) " left, by the times of " (left.runs) " runs"
                }
            }
        }
    }
}

/// Returns the class of the colour of a run.
const fn class(chain: &RunChain) -> &'static str {
    match chain.run.status {
        Status::Failed => "bad",
        Status::Success => "ok",
        _ => "on",
    }
}

/// Returns the name of a reason, as in JSON.
fn reason(diagnosis: &Diagnosis) -> String {
    let value = serde_json::to_value(diagnosis).unwrap_or_default();
    value["reason"].as_str().unwrap_or_default().to_owned()
}

/// Draws the params and the outcomes of a step, which a person has asked for.
fn payloads(web: &Web, chain: &RunChain, step: u32) -> Markup {
    let step = chain.chain.iter().find(|it| it.position == step);
    let params = step.and_then(|step| step.params.as_deref());
    let params = params.map(|params| payload::json(&web.options, params));
    let outcomes = step.into_iter().flat_map(|step| &step.attempts);
    let outcomes =
        outcomes.filter_map(|it| Some((it.attempt.attempt, it.attempt.outcome.as_ref()?)));
    html! {
        dl.payloads {
            @if let Some(params) = params { dt { "params" } dd { pre { (params) } } }
            @for (number, outcome) in outcomes { dt { "outcome of try " (number) } dd { pre { (payload::value(&web.options, outcome)) } } }
        }
    }
}
