//! The pages for requests that are not let in. They tell nothing about the installation.

use super::{Markup, html, text};
use crate::assets;
use crate::links::Links;

fn page(links: &Links, title: &str, body: &Markup) -> Markup {
    html! {
        (maud::DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                meta name="color-scheme" content="light dark";
                title { (title) " · kser" }
                link rel="stylesheet" href=(links.to(&assets::path("page.css")));
                link rel="icon" href=(links.to(&assets::path("icon.svg")));
            }
            body.refused {
                main id="main" {
                    h1 { (title) }
                    (body)
                }
            }
        }
    }
}

pub(crate) fn unknown_host(links: &Links, host: Option<&str>) -> Markup {
    let host = text(host.unwrap_or("none"), 200);
    page(
        links,
        "Not this host",
        &html! {
            p { "The request names the host " code { (host) } ", and this server has another name." }
            p { "Its names are " code { "localhost" } ", and those of " code { "--host" } "." }
        },
    )
}

pub(crate) fn other_site(links: &Links) -> Markup {
    page(
        links,
        "From another site",
        &html! {
            p { "A page of another site has made this request, so it is refused." }
            p { a href=(links.root()) { "Open the overview" } }
        },
    )
}

pub(crate) fn no_token(links: &Links) -> Markup {
    page(
        links,
        "Sign in",
        &html! {
            p { "Open the link that " code { "kser web" } " has printed in its terminal. It lets one browser in; when it is used, the terminal has a new one." }
            p { a href=(links.root()) { "Signed in already? Go on." } }
        },
    )
}

pub(crate) fn no_rights(links: &Links) -> Markup {
    page(
        links,
        "No rights",
        &html! {
            p { "You have no rights to see this." }
        },
    )
}

pub(crate) fn read_only(links: &Links) -> Markup {
    page(
        links,
        "Read-only",
        &html! {
            p { "You may look, and change nothing." }
            p { a href=(links.root()) { "Open the overview" } }
        },
    )
}
