use kser_ops::OpsError;

use super::bulk::reasons;
use super::jobs::{Job, Shown};
use crate::answer::Web;
use crate::html::{Markup, Page, Tab, cell, count, html, text};

/// Draws the progress of an act on many.
pub(crate) fn page(web: &Web, id: &str) -> Result<Page, OpsError> {
    let job = web.jobs.find(id)?;
    let shown = job.shown();
    let planned = &job.planned;
    let taken = planned.plan.taken();
    let title = format!(
        "{} {} {}",
        planned.words.button,
        count(taken),
        planned.plan.noun(taken)
    );
    let state = match (shown.has_ended, &shown.stopped) {
        (false, _) => "goes on",
        (true, None) => "ended",
        (true, Some(_)) => "stopped",
    };
    let body = html! {
        h1 { (title) }
        @if !planned.choice.is_empty() { p.found { (cell(&planned.choice)) } }
        section id="job" data-state=(state) data-done=(shown.done) {
            p {
                progress max=(taken) value=(shown.done + shown.refused) {}
                " " b { (count(shown.done)) } " " (planned.words.done) " of " (count(taken)) ", " (state)
            }
            @if planned.plan.is_followed(planned.words) { (ends(&shown)) }
            @if let Some(stopped) = &shown.stopped { p.why { "Stopped: " (text(stopped, 600)) "; " (count(shown.not_tried)) " were not tried." } }
            (left(&shown))
            p.calm { "by " (cell(&job.actor)) @if !job.reason.is_empty() { ": " (cell(&job.reason)) } }
            @if !shown.has_ended { (stop(web, &job)) }
        }
    };
    let mut page = Page::new(title, Tab::None, body).seeing(format!("act:{}", job.id));
    page.refresh = !shown.has_ended;
    Ok(page)
}

fn ends(shown: &Shown) -> Markup {
    let ends = shown.ends;
    html! {
        dl.facts {
            dt { "succeeded" } dd id="succeeded" { (count(ends.succeeded)) }
            dt { "failed again" } dd id="failed" { (count(ends.failed_again)) }
            @if shown.has_ended { dt { "still run or cannot be followed" } dd { (count(ends.unknown)) } }
        }
    }
}

fn left(shown: &Shown) -> Markup {
    let left: Vec<(&str, &str)> = shown
        .left
        .iter()
        .map(|(subject, reason)| (subject.as_str(), reason.as_str()))
        .collect();
    html! {
        @if shown.refused > 0 {
            p { b { (count(shown.refused)) } " were left:" }
            (reasons(&left))
        }
    }
}

fn stop(web: &Web, job: &Job) -> Markup {
    html! {
        form method="post" action=(web.options.links().to(&format!("/acts/{}/stop", job.id))) { button.danger { "Stop" } }
    }
}
