use kser::run::RunFilter;
use kser_ops::OpsError;

use crate::access::Visitor;
use crate::answer::Web;
use crate::html::{Page, Tab, ago, cell, count, html};

/// The failed runs that are read, those that were launched last.
const READ: usize = 250;

/// The most causes of the page.
const CAUSES: usize = 50;

/// Draws the causes of the runs that have failed.
pub(crate) async fn page(web: &Web, visitor: &Visitor) -> Result<Page, OpsError> {
    let found = web.ops.run_causes(RunFilter::default(), READ).await?;
    let (links, now) = (web.options.links(), web.ops.now());
    let body = html! {
        h1 { "Failed runs by cause" }
        p.found id="found" data-read=(found.runs) {
            @match (found.runs, found.has_earlier) {
                (0, _) => "No run has failed.",
                (runs, true) => { "The " (count(runs)) " failed runs that were launched last are read; there are earlier ones." },
                (runs, false) => { "All " (count(runs)) " failed runs are read." },
            }
            " " a href=(links.runs(&[("status", "failed")])) { "one by one" }
        }
        @if !found.causes.is_empty() {
            table.rows.boxed {
                thead { tr { th.n { "Runs" } th { "Task" } th { "Why" } th { "First" } th { "Last" } th { "Latest run" } @if visitor.may_act { th { "Acts" } } } }
                tbody {
                    @for cause in found.causes.iter().take(CAUSES) {
                        tr data-cause=(cause.cause.to_string()) data-runs=(cause.runs) {
                            td.n data-l="runs" { b { (count(cause.runs)) } }
                            td.name { (cell(cause.entrypoint.as_deref().unwrap_or("–"))) }
                            td.why { (cell(&cause.pattern)) }
                            td data-l="first" { (ago(cause.first, now)) }
                            td data-l="last" { (ago(cause.last, now)) }
                            td data-l="latest run" { a href=(links.run(&cause.sample)) { (cell(cause.sample.as_str())) } }
                            @if visitor.may_act { td.does { @for (act, word) in [("resume", "Resume…"), ("purge", "Purge…")] {
                                a href=(links.with(&format!("/plan/runs/{act}"), &[("cause", &cause.cause.to_string())])) data-act=(act) { (word) } " "
                            } } }
                        }
                    }
                }
            }
            @if found.causes.len() > CAUSES { p.more { (found.causes.len() - CAUSES) " more causes have fewer runs." } }
        }
    };
    let page = Page::new("Failed runs by cause", Tab::Runs, body);
    Ok(page
        .with_command(format!("kser runs causes -n {READ}"))
        .seeing("runs"))
}
