use kser::run::Timestamp;
use kser_ops::{Causes, LetterCause, OpsError, Spoken, TopicLine, letters_left};

use crate::access::Visitor;
use crate::acts::words::LETTERS;
use crate::answer::Web;
use crate::html::{Markup, Page, Tab, ago, cell, count, html};
use crate::links::Links;
use crate::params::Params;
use crate::reading::Read;

/// The most causes of a page.
const CAUSES: usize = 50;

/// Draws the causes of the dead letters of all topics, or of one, as far as they are read.
pub(crate) async fn page(web: &Web, visitor: &Visitor, params: &Params) -> Result<Page, OpsError> {
    let topic = params.get("topic").map(str::trim);
    let read = web.readings.causes(&web.ops, topic).await?;
    let (links, now) = (web.options.links(), web.ops.now());
    let body = html! {
        h1 { "Dead letters" @if let Some(topic) = topic { " of " (cell(topic)) } }
        (topics(links, &read.topics, topic, now))
        (progress(&read, now))
        (causes((links, visitor.may_act), &read.causes, topic, now))
    };
    let mut page = Page::new("Dead letters", Tab::Letters, body).seeing("letters");
    page.refresh = !read.is_whole;
    let of = topic.map(|topic| format!(" {topic}")).unwrap_or_default();
    Ok(page.with_command(format!("kser letters causes{of}")))
}

fn topics(links: &Links, topics: &[TopicLine], chosen: Option<&str>, now: Timestamp) -> Markup {
    html! {
        @if !topics.is_empty() {
            ul.chips {
                li { a href=(links.letters(&[])) aria-current=[chosen.is_none().then_some("true")] { "all topics" } }
                @for line in topics {
                    @let waiting = line.letters.as_ref().map_or(0, |letters| letters.waiting);
                    li data-topic=(cell(&line.topic)) {
                        a href=(links.letters(&[("topic", &line.topic)])) aria-current=[(chosen == Some(line.topic.as_str())).then_some("true")] {
                            (cell(&line.topic)) " " b { (count(waiting)) }
                        }
                        (kept(line, now))
                    }
                }
            }
        }
    }
}

/// Says how long the letters of a topic are kept, and when the oldest is deleted.
fn kept(line: &TopicLine, now: Timestamp) -> Markup {
    html! {
        @match (line.letters_kept, letters_left(line, now)) {
            (Some(kept), Some(left)) => small { "kept " (Spoken(kept)) ", the oldest is deleted in " (Spoken(left)) },
            (Some(kept), None) => small { "kept " (Spoken(kept)) },
            _ => {}
        }
    }
}

/// Says how many letters are read.
fn progress(read: &Read, now: Timestamp) -> Markup {
    let letters = read.causes.letters;
    html! {
        p.found id="found" data-read=(letters) data-whole=(read.is_whole) data-again[!read.is_whole] {
            @if read.is_whole {
                @if letters == 0 { "There are no dead letters." } @else { "All " (count(letters)) " letters are read, " (ago(read.at, now)) "." }
            } @else {
                progress max=(read.of.max(letters).max(1)) value=(letters) {}
                " " (count(letters)) " of " (count(read.of.max(letters))) " letters are read."
            }
        }
    }
}

fn causes(to: (&Links, bool), causes: &Causes, topic: Option<&str>, now: Timestamp) -> Markup {
    let hidden = causes.causes.len().saturating_sub(CAUSES);
    html! {
        @if !causes.causes.is_empty() {
            table.rows.boxed {
                thead { tr { th.n { "Letters" } th.n { "Runs" } th { "Task" } th { "Why" } th { "First" } th { "Last" } th.n { "Replays" } @if to.1 { th { "Acts" } } } }
                tbody { @for cause in causes.causes.iter().take(CAUSES) { (row(to, cause, topic, now)) } }
            }
        }
        @if hidden > 0 { p.more { (hidden) " more causes have fewer letters." } }
        @if causes.others > 0 { p.more { (count(causes.others)) " letters have further causes." } }
    }
}

fn row(
    (links, may_act): (&Links, bool),
    cause: &LetterCause,
    topic: Option<&str>,
    now: Timestamp,
) -> Markup {
    let id = cause.cause.to_string();
    let mut query = vec![("cause", id.as_str())];
    query.extend(topic.map(|topic| ("topic", topic)));
    html! {
        tr data-cause=(id) data-letters=(cause.letters) {
            td.n data-l="letters" { b { (count(cause.letters)) } }
            td.n data-l="runs" { (count(cause.runs)) }
            td.name { (cell(cause.entrypoint.as_deref().unwrap_or("–"))) }
            td.why { a href=(links.with("/letters/list", &query)) { (cell(&cause.pattern)) } }
            td data-l="first" { @if let Some(at) = cause.first { (ago(at, now)) } @else { "–" } }
            td data-l="last" { @if let Some(at) = cause.last { (ago(at, now)) } @else { "–" } }
            td.n data-l="replays" { (cause.replays) }
            @if may_act { td.does { @for words in LETTERS { a href=(links.with(&format!("/plan/letters/{}", words.name), &query)) data-act=(words.name) { (words.button) "…" } " " } } }
        }
    }
}
