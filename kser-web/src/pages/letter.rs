use kser::backend::Record;
use kser_ops::{Letter, LetterAddress, OpsError};

use crate::access::Visitor;
use crate::acts::words::LETTERS;
use crate::answer::Web;
use crate::html::{Markup, Page, Tab, at, cell, count, html, text};
use crate::params::Params;
use crate::payload;

/// The longest error that is shown, in characters.
const LONGEST: usize = 5_000;

/// Draws one dead letter. Its payload is hidden until it is asked for.
pub(crate) async fn page(
    web: &Web,
    visitor: &Visitor,
    address: &str,
    params: &Params,
) -> Result<Page, OpsError> {
    let address: LetterAddress = address.parse()?;
    let (letter, record) = web.ops.letter(&address).await?;
    let is_shown = params.get("show") == Some("payload");
    let links = web.options.links();
    let body = html! {
        h1 { "Dead letter " code { (cell(&address.to_string())) } }
        @if visitor.may_act {
            nav.acts aria-label="Acts on the letter" {
                @for words in LETTERS { a.button href=(links.with(&format!("/plan/letters/{}", words.name), &[("address", &address.to_string())])) data-act=(words.name) { (words.button) "…" } }
            }
        }
        section.why.bad { p id="error" { (text(&letter.error, LONGEST)) } p.cause { "cause " code { (letter.cause.to_string()) } } }
        section { (facts(web, &letter)) }
        section {
            h2 { "Payload" }
            @match is_shown {
                true => pre id="payload" { (shown(web, &record)) },
                false => p { "It is hidden, since it may have secrets. " a id="show" href={ (links.letter(&address)) "?show=payload" } { "Show it" } },
            }
        }
    };
    let page = Page::new(
        format!("Dead letter {}", cell(&address.to_string())),
        Tab::Letters,
        body,
    );
    Ok(page
        .with_command(format!("kser letters show {address}"))
        .seeing("letters"))
}

fn facts(web: &Web, letter: &Letter) -> Markup {
    let links = web.options.links();
    html! {
        dl.table {
            dt { "task" } dd { (cell(letter.entrypoint.as_deref().unwrap_or("–"))) }
            dt { "run" } dd {
                @if let Some(run) = &letter.run { a href=(links.run(run)) { (cell(run.as_str())) } } @else { "–" }
                @if let Some(step) = letter.step { ", step " (step) }
            }
            dt { "code" } dd { @if let Some(code) = letter.code { (code) } @else { "–" } }
            dt { "attempts" } dd { (letter.attempts) }
            dt { "replays before" } dd { (letter.replays) }
            dt { "first failed" } dd { @if let Some(first) = letter.first_failed { (at(first)) } @else { "–" } }
            dt { "last failed" } dd { @if let Some(last) = letter.last_failed { (at(last)) } @else { "–" } }
            dt { "from" } dd { (cell(letter.origin.as_deref().unwrap_or("–"))) }
            dt { "group" } dd { (cell(letter.group.as_deref().unwrap_or("–"))) }
            dt { "bytes" } dd { (count(u64::try_from(letter.bytes).unwrap_or(u64::MAX))) }
        }
    }
}

fn shown(web: &Web, record: &Record) -> String {
    match &record.payload {
        None => "none".to_owned(),
        Some(bytes) => payload::bytes(&web.options, bytes),
    }
}
