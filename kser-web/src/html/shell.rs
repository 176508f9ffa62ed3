//! The frame of each page: head, navigation and foot.

use axum::http::StatusCode;
use kser_ops::OpsError;

use super::{Markup, Page, Tab, html, text};
use crate::access::Visitor;
use crate::answer::Web;
use crate::assets;

/// Draws a page with its frame.
pub(crate) fn page(web: &Web, visitor: &Visitor, page: &Page) -> Markup {
    let links = web.options.links();
    let name = text(web.options.name(), 40);
    let has_acts = visitor.may_act;
    html! {
        (maud::DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta name="color-scheme" content="light dark";
                title { (page.title) " · kser" @if !name.is_empty() { " " (name) } }
                link rel="stylesheet" href=(links.to(&assets::path("page.css")));
                link rel="icon" href=(links.to(&assets::path("icon.svg")));
                @if page.refresh { noscript { meta http-equiv="refresh" content="2"; } }
                script type="module" src=(links.to(&assets::path("page.js"))) {}
            }
            body data-root=(links.root()) data-see=(page.sees.join(" ")) {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href=(links.root()) { "kser" }
                    @if !name.is_empty() { span.install { (name) } }
                    nav aria-label="Pages" {
                        @for (tab, path, word) in TABS {
                            a href=(links.to(path)) aria-current=[(tab == page.tab).then_some("page")] { (word) }
                        }
                    }
                    form.search action=(links.to("/find")) role="search" {
                        label.hidden for="q" { "Run, by the beginning of its id" }
                        input id="q" name="q" placeholder="run id…" autocomplete="off" spellcheck="false" minlength="1";
                        button { "Find" }
                    }
                    span.mode data-mode=(if has_acts { "acts" } else { "read" }) {
                        @if has_acts { "acts as " b { (text(&visitor.actor, 40)) } } @else { "read-only" }
                    }
                    button.live type="button" id="live" hidden aria-pressed="false" { "live" }
                }
                main id="main" tabindex="-1" { (page.body) }
                footer {
                    @if !page.command.is_empty() {
                        span { "in a terminal" }
                        code id="command" { (text(&page.command, 400)) }
                        button.copy type="button" data-copy="command" hidden { "copy" }
                    }
                    span.now { (super::at(web.ops.now())) }
                }
                p.hidden id="said" role="status" {}
            }
        }
    }
}

const TABS: [(Tab, &str, &str); 5] = [
    (Tab::Overview, "/", "Overview"),
    (Tab::Runs, "/runs", "Runs"),
    (Tab::Letters, "/letters", "Letters"),
    (Tab::Consumers, "/consumers", "Consumers"),
    (Tab::Waiting, "/waiting", "Waiting"),
];

/// Draws the reason why there is no page.
pub(crate) fn failed(status: StatusCode, error: &OpsError) -> Page {
    let title = match status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::BAD_REQUEST => "Not understood",
        StatusCode::CONFLICT => "Refused",
        _ => "No answer",
    };
    let again = error.is_temporary();
    let mut page = Page::new(
        title,
        Tab::None,
        html! {
            h1 { (title) }
            p.why data-error=(status.as_u16()) { (text(&error.to_string(), 2000)) }
            @if again { p { a href="" { "Try again" } } }
        },
    );
    page.status = status;
    page
}
