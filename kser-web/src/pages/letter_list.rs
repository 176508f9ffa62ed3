use kser::run::Timestamp;
use kser_ops::{Letter, LetterAddress, LetterFilter, OpsError};

use crate::answer::Web;
use crate::html::{Markup, Page, Tab, ago, cell, html};
use crate::links::Links;
use crate::params::Params;

/// The letters of a page.
const PAGE: usize = 50;

/// Draws dead letters one by one: those of a cause, of a run, of a topic, or all.
pub(crate) async fn page(web: &Web, params: &Params) -> Result<Page, OpsError> {
    let topic = params.get("topic").map(str::trim);
    let after = params.read::<LetterAddress>("after")?;
    let mut view = web
        .ops
        .export_letters(topic, filter(params)?, after.as_ref(), false)
        .await?;
    let mut letters = Vec::new();
    while letters.len() <= PAGE
        && let Some(page) = view.next_page().await?
    {
        letters.extend(page.into_iter().map(|exported| exported.letter));
    }
    let goes_on = letters.len() > PAGE;
    letters.truncate(PAGE);
    let (links, now) = (web.options.links(), web.ops.now());
    let body = html! {
        h1 { "Dead letters, one by one" }
        (asked(links, params))
        (table(links, &letters, now))
        (turn(links, letters.last().filter(|_| goes_on), params))
    };
    let page = Page::new("Dead letters", Tab::Letters, body);
    Ok(page.with_command(command(params)).seeing("letters"))
}

/// Reads a filter for letters, with the names that the program `kser` has for it.
pub(crate) fn filter(params: &Params) -> Result<LetterFilter, OpsError> {
    let mut filter = LetterFilter::default();
    filter.cause = params.read("cause")?;
    filter.run = params.get("run").map(|run| run.trim().into());
    Ok(filter)
}

fn asked(links: &Links, params: &Params) -> Markup {
    let set = ["topic", "cause", "run"]
        .into_iter()
        .filter_map(|name| Some((name, params.get(name)?)));
    html! {
        p.found {
            @for (name, value) in set { (name) " " b { (cell(value)) } " · " }
            a href=(links.letters(&[])) { "by cause" }
        }
    }
}

fn table(links: &Links, letters: &[Letter], now: Timestamp) -> Markup {
    html! {
        @if letters.is_empty() { p.calm { "There are no such dead letters." } } @else {
            table.rows.boxed {
                thead { tr { th { "Letter" } th { "Task" } th { "Run" } th.n { "Step" } th { "Failed" } th.n { "Replays" } th { "Why" } } }
                tbody { @for letter in letters { (row(links, letter, now)) } }
            }
        }
    }
}

fn row(links: &Links, letter: &Letter, now: Timestamp) -> Markup {
    html! {
        tr data-letter=(cell(&letter.address.to_string())) {
            td.name { a href=(links.letter(&letter.address)) { (cell(&letter.address.to_string())) } }
            td { (cell(letter.entrypoint.as_deref().unwrap_or("–"))) }
            td data-l="run" { @if let Some(run) = &letter.run { a href=(links.run(run)) { (cell(run.as_str())) } } @else { "–" } }
            td.n data-l="step" { @if let Some(step) = letter.step { (step) } @else { "–" } }
            td data-l="failed" { @if let Some(at) = letter.failed() { (ago(at, now)) } @else { "–" } }
            td.n data-l="replays" { (letter.replays) }
            td.why { (cell(&letter.error)) }
        }
    }
}

fn turn(links: &Links, last: Option<&Letter>, params: &Params) -> Markup {
    let path = links.to("/letters/list");
    let after = last.map(|last| last.address.to_string());
    let next = after.map(|after| params.clone().with("after", Some(&after)).after(&path));
    html! {
        nav.turn aria-label="Pages of the list" {
            @if params.get("after").is_some() { a href=(params.clone().without("after").after(&path)) rel="first" { "⇤ first" } }
            @if let Some(next) = next { a href=(next) rel="next" id="older" { "next →" } }
        }
    }
}

/// Returns the command that shows the same list.
fn command(params: &Params) -> String {
    let topic = params
        .get("topic")
        .map(|topic| format!(" {topic}"))
        .unwrap_or_default();
    let names = ["cause", "run"];
    let set = names
        .iter()
        .filter_map(|name| Some((name, params.get(name)?)));
    let options: String = set
        .map(|(name, value)| format!(" --{name} {value}"))
        .collect();
    format!("kser letters ls{topic}{options}")
}
