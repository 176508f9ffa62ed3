//! Acts: the plan alone, or with the report, when `expect` is the number that the plan takes. A request that is dropped stops its act.

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use kser_ops::{ActDocument, IdDocument, OpsError, RunChoice};
use serde::Serialize;

use super::answers::{document, failed};
use crate::access::Visitor;
use crate::acts::bulk::{self, pace};
use crate::acts::plans::Plan;
use crate::acts::words;
use crate::answer::Web;
use crate::params::Params;

/// Answers with a plan and its report.
fn acted<P: Serialize, R: Serialize>(plan: &P, report: &Result<Option<R>, OpsError>) -> Response {
    match report {
        Ok(report) => document(&Ok(ActDocument {
            plan,
            report: report.as_ref(),
        })),
        Err(error) => failed(error),
    }
}

/// Acts on one run that is named, at once.
pub(crate) async fn one(
    State(web): State<Web>,
    Extension(visitor): Extension<Visitor>,
    Path((id, verb)): Path<(String, String)>,
    params: Params,
    body: String,
) -> Response {
    let params = with_outcome(params, &body);
    let found = match web.in_time(web.ops.find_run(&id)).await {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    let actor = visitor.actor.as_str();
    tracing::info!(target: "kser", actor, act = verb, run = found.as_str(), "an act on a run is asked for");
    if verb == "fork" {
        let forked = async {
            let from = params.read("from")?.ok_or_else(|| missing("from"))?;
            web.ops.fork_run(&found, from).await
        };
        let forked = web.in_time(forked).await;
        return match &forked {
            Ok(forked) => document(&Ok(IdDocument {
                id: forked.as_str(),
            })),
            Err(error) => failed(error),
        };
    }
    let planned = async {
        let act = words::run_act(&verb, &params)?;
        web.ops.plan_runs(act, RunChoice::Ids(vec![found])).await
    };
    let plan = match web.in_time(planned).await {
        Ok(plan) => plan,
        Err(error) => return failed(&error),
    };
    let report = async {
        if plan.taken == 0 || params.read("dry_run")?.unwrap_or(false) {
            return Ok(None);
        }
        let mut pace = pace(&params)?;
        pace.wait = std::time::Duration::ZERO;
        let by = (actor, params.get("reason").unwrap_or_default());
        web.ops
            .act_on_runs(&plan, by, &pace, |_| {})
            .await
            .map(Some)
    };
    acted(&plan, &web.in_time(report).await)
}

/// Acts on the runs that fit a filter.
pub(crate) async fn runs(
    state: State<Web>,
    visitor: Extension<Visitor>,
    Path(verb): Path<String>,
    params: Params,
) -> Response {
    many(&state.0, &visitor.0, "runs", &verb, &params).await
}

/// Acts on dead letters.
pub(crate) async fn letters(
    state: State<Web>,
    visitor: Extension<Visitor>,
    Path(verb): Path<String>,
    params: Params,
) -> Response {
    many(&state.0, &visitor.0, "letters", &verb, &params).await
}

async fn many(web: &Web, visitor: &Visitor, kind: &str, verb: &str, params: &Params) -> Response {
    let plan = match bulk::plan(web, kind, verb, params).await {
        Ok((_, plan)) => plan,
        Err(error) => return failed(&error),
    };
    let by = (
        visitor.actor.as_str(),
        params.get("reason").unwrap_or_default(),
    );
    let (taken, actor, reason) = (plan.taken(), by.0, by.1);
    let is_meant = match expected(params, taken) {
        Ok(is_meant) => is_meant,
        Err(error) => return failed(&error),
    };
    let pace = match pace(params) {
        Ok(pace) => pace,
        Err(error) => return failed(&error),
    };
    if is_meant {
        tracing::info!(target: "kser", actor, reason, act = verb, of = kind, taken, "an act on many begins");
    }
    match &plan {
        Plan::Letters(plan) => {
            let report = match is_meant {
                true => web.ops.act_on_letters(plan, &pace, |_| {}).await.map(Some),
                false => Ok(None),
            };
            acted(plan, &report)
        }
        Plan::Runs(plan) => {
            let report = match is_meant {
                true => web.ops.act_on_runs(plan, by, &pace, |_| {}).await.map(Some),
                false => Ok(None),
            };
            acted(plan, &report)
        }
    }
}

/// Says whether an act is meant: the caller gives the number that it takes.
fn expected(params: &Params, taken: u64) -> Result<bool, OpsError> {
    match params.read::<u64>("expect")? {
        None => Ok(false),
        Some(expect) if expect == taken => Ok(taken > 0),
        Some(expect) => Err(OpsError::Refused {
            reason: format!("expect is {expect}, and it would take {taken}: nothing was done"),
        }),
    }
}

fn missing(name: &str) -> OpsError {
    OpsError::Invalid {
        what: name.to_owned(),
        reason: "it is missing".to_owned(),
    }
}

/// Takes the outcome of a step from the body of the request.
fn with_outcome(params: Params, body: &str) -> Params {
    match body.trim().is_empty() {
        true => params,
        false => params.with("outcome", Some(body)),
    }
}
