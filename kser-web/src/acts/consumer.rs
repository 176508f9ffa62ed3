//! An act on a consumer whose program allows it: a command, which the consumer obeys with its next announcement.

use std::time::Duration;

use axum::response::{IntoResponse, Redirect, Response};
use kser_ops::{ConsumerVerb, OpsError};

use super::one::reason;
use crate::access::Visitor;
use crate::answer::Web;
use crate::html::{Page, Tab, cell, html, text};
use crate::params::Params;

/// The acts, with the words of their buttons.
pub(crate) const WORDS: [(&str, &str); 3] =
    [("pause", "Pause"), ("resume", "Resume"), ("drain", "Drain")];

/// The time of a pause, unless another one is given.
const PAUSE: &str = "15m";

/// Reads an act on a consumer.
fn verb(name: &str, form: &Params) -> Result<ConsumerVerb, OpsError> {
    let length = form.get("length").unwrap_or(PAUSE).trim();
    match name {
        "pause" => {
            let length = humantime::parse_duration(length);
            let length = length.map_err(|error| OpsError::Invalid {
                what: format!("the length {:?}", form.get("length").unwrap_or_default()),
                reason: error.to_string(),
            })?;
            Ok(ConsumerVerb::Pause { length })
        }
        "resume" => Ok(ConsumerVerb::Resume),
        "drain" => Ok(ConsumerVerb::Drain),
        other => Err(OpsError::NotFound {
            what: format!("there is no act {other} on a consumer"),
        }),
    }
}

/// Draws the preview of an act on a consumer.
pub(crate) fn page(web: &Web, id: &str, name: &str) -> Result<Page, OpsError> {
    let links = web.options.links();
    let (would, class) = match verb(name, &Params::default())? {
        ConsumerVerb::Pause { .. } => (
            "take no deliveries for a time, and keep its partitions",
            "primary",
        ),
        ConsumerVerb::Resume => ("take deliveries again", "primary"),
        _ => ("finish its running tasks, and shut down", "danger"),
    };
    let title = format!("{name} {}", cell(id));
    let body = html! {
        h1 { (title) }
        form.act method="post" action=(links.consumer(id, name)) id="act" {
            p { "The consumer would " (would) "." }
            @if name == "pause" { label { "For " input.short name="length" value=(PAUSE) required; } }
            (reason(false))
            button.(class) { (name) }
        }
        p { a href=(links.to("/consumers")) { "Back to the consumers" } }
    };
    let page = Page::new(title, Tab::Consumers, body);
    Ok(page.with_command(format!("kser consumers {name} {id}")))
}

/// Tells a consumer a command, and leads to the consumers.
pub(crate) async fn carry_out(
    web: &Web,
    visitor: &Visitor,
    id: &str,
    name: &str,
    form: &Params,
) -> Response {
    let actor = visitor.actor.as_str();
    let reason = text(form.get("reason").unwrap_or_default(), 500);
    let told = async {
        let verb = verb(name, form)?;
        // The page shows when the consumer has obeyed.
        let wait = Duration::ZERO;
        web.ops
            .act_on_consumers(id, verb, (actor, &reason), wait)
            .await
    };
    match web.in_time(told).await {
        Ok(_) => {
            tracing::info!(target: "kser", actor, reason, act = name, consumer = id, "a consumer was told a command");
            Redirect::to(&web.options.links().to("/consumers")).into_response()
        }
        Err(error) => web.fail(visitor, &error),
    }
}
