use kser::run::Timestamp;
use kser_ops::{OpsError, Spoken, Wait, WaitKind};

use crate::answer::Web;
use crate::html::{Markup, Page, Tab, at, cell, count, html};
use crate::links::Links;

/// The waits of the page.
const PAGE: usize = 100;

/// The open runs, and the records of a topic, that are read.
const READ: usize = 200;

/// Draws the waits that are to come, the earliest first.
pub(crate) async fn page(web: &Web) -> Result<Page, OpsError> {
    let waiting = web.ops.waiting(PAGE, READ).await?;
    let links = web.options.links();
    let shown = waiting.waits.len();
    let body = html! {
        h1 { "Waiting" }
        p.found id="found" data-shown=(shown) {
            @if shown == 0 { "Nothing that can be seen waits for a time." } @else { (shown) " of " (count(waiting.found)) " waits that were found, the earliest first." }
        }
        @if shown > 0 {
            table.rows.boxed {
                thead { tr { th { "At" } th { "In" } th { "Kind" } th { "Task" } th { "Run" } th.n { "Step" } th.n { "Failed" } th { "After" } } }
                tbody { @for wait in &waiting.waits { (row(links, wait, waiting.now)) } }
            }
        }
        section aria-labelledby="unseen" {
            h2 id="unseen" { "Not in this list" }
            ul.plain { @for sentence in &waiting.unknown { li { (cell(sentence)) } } }
        }
    };
    let page = Page::new("Waiting", Tab::Waiting, body);
    Ok(page
        .with_command(format!("kser waiting -n {PAGE} --read {READ}"))
        .seeing("waiting"))
}

fn row(links: &Links, wait: &Wait, now: Timestamp) -> Markup {
    let kind = match wait.kind {
        WaitKind::Delayed => "delayed",
        WaitKind::Retry => "retry",
        WaitKind::External => "external step",
        _ => "other",
    };
    html! {
        tr data-kind=(kind) {
            td.name { (at(wait.at)) }
            td data-l="in" { @if wait.at > now { (Spoken(wait.at.since(now))) } @else { "now" } }
            td { (kind) }
            td { (cell(wait.entrypoint.as_deref().unwrap_or("–"))) }
            td data-l="run" { @if let Some(run) = &wait.run { a href=(links.run(run)) { (cell(run.as_str())) } } @else { "–" } }
            td.n data-l="step" { @if let Some(step) = wait.step { (step) } @else { "–" } }
            td.n data-l="failed" { (wait.attempts) "×" }
            td.why { @if let Some(error) = &wait.error { (cell(error)) } }
        }
    }
}
