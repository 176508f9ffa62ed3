use kser_ops::{Need, OpsError, Part, RunCounts, Spoken, Summary, TopicLine, letters_left};

use crate::answer::Web;
use crate::html::{Markup, Page, Tab, ago, bounded, cell, count, html};
use crate::links::Links;

/// The most topics of the page.
const TOPICS: usize = 100;

/// Draws the overview: the points that need a hand, runs by their status, and topics.
pub(crate) async fn page(web: &Web) -> Result<Page, OpsError> {
    let summary = web.ops.status().await?;
    let links = web.options.links();
    let body = html! {
        h1 { "Overview" }
        (parts(&summary))
        (needs(links, &summary.needs))
        @if let Some(runs) = &summary.runs { (counts(links, runs)) }
        @if let Some(topics) = &summary.topics { (backlogs(links, topics, &summary)) }
    };
    let page = Page::new("Overview", Tab::Overview, body);
    Ok(page.with_command("kser status").seeing("overview"))
}

fn parts(summary: &Summary) -> Markup {
    html! {
        p.parts {
            @for (name, part) in [("Kafka", &summary.kafka), ("store", &summary.store)] {
                @match part {
                    Part::Open { url } => span data-part=(name) { (name) " " b { (cell(url)) } },
                    Part::Failed { url, .. } => span.bad data-part=(name) { (name) " " b { (cell(url)) } " does not answer" },
                    _ => span.off data-part=(name) { "no " (name) },
                }
            }
        }
    }
}

fn needs(links: &Links, needs: &[Need]) -> Markup {
    html! {
        section.needs aria-labelledby="needs" data-needs=(needs.len()) {
            h2 id="needs" { "Needs a hand" }
            @if needs.is_empty() { p.calm { "✓ nothing needs a hand" } }
            ul {
                @for need in needs {
                    li data-need=(need.kind) {
                        span.mark aria-hidden="true" { "!" }
                        span.what {
                            (cell(&need.text))
                            code { (cell(&need.command)) }
                        }
                        @if let Some(to) = look(links, need) { a.button href=(to) { "Look" } }
                    }
                }
            }
        }
    }
}

/// Returns the page that shows more of a point.
fn look(links: &Links, need: &Need) -> Option<String> {
    match need.kind {
        "runs_failed" => Some(links.to("/causes")),
        "letters" | "letters_deleted_soon" => Some(links.letters(&[])),
        "late" => Some(links.to("/consumers")),
        _ => None,
    }
}

fn counts(links: &Links, runs: &RunCounts) -> Markup {
    let cards = [
        ("open", "running", runs.open, "on"),
        ("failed", "failed", runs.failed, "bad"),
        ("cancelled", "cancelled", runs.cancelled, "off"),
    ];
    html! {
        section aria-labelledby="runs" {
            h2 id="runs" { "Runs" }
            ul.cards {
                @for (word, status, number, class) in cards {
                    li class=(class) data-count=(word) {
                        a href=(links.runs(&[("status", status)])) {
                            b { (bounded(number, RunCounts::MOST)) } span { (word) }
                        }
                    }
                }
            }
        }
    }
}

fn backlogs(links: &Links, topics: &[TopicLine], summary: &Summary) -> Markup {
    let now = summary.now;
    html! {
        section aria-labelledby="topics" {
            h2 id="topics" { "Topics" }
            @if topics.is_empty() { p.calm { "There are no topics." } } @else {
                table.rows {
                    thead { tr { th { "Topic" } th.n { "Waiting" } th { "Oldest" } th.n { "Done beyond" } th.n { "Dead letters" } th { "Oldest" } th { "Deleted in" } } }
                    tbody {
                        @for line in topics.iter().take(TOPICS) {
                            tr data-topic=(cell(&line.topic)) {
                                td.name { (cell(&line.topic)) }
                                @match &line.work {
                                    Some(work) => {
                                        td.n data-l="waiting" { (count(work.waiting)) }
                                        td data-l="oldest" { @if let Some(at) = work.oldest { (ago(at, now)) } @else { "–" } }
                                        td.n data-l="done beyond" { (count(work.settled_beyond)) }
                                    }
                                    None => td colspan="3" data-l="waiting" { "no topic" },
                                }
                                @match &line.letters {
                                    Some(letters) => {
                                        td.n data-l="dead letters" { a href=(links.letters(&[("topic", &line.topic)])) { (count(letters.waiting)) } }
                                        td data-l="oldest" { @if let Some(at) = letters.oldest { (ago(at, now)) } @else { "–" } }
                                        td data-l="deleted in" { @if let Some(left) = letters_left(line, now) { (Spoken(left)) } @else { "–" } }
                                    }
                                    None => td colspan="3" data-l="dead letters" { "–" },
                                }
                            }
                        }
                    }
                }
                @if topics.len() > TOPICS { p.more { "The first " (TOPICS) " of " (count(u64::try_from(topics.len()).unwrap_or(u64::MAX))) " topics, by name." } }
            }
        }
    }
}
