#!/usr/bin/env bash
# An event of server-sent events that is made with `.event("hello").data("")`, in axum: no `data:` line is written, so that no browser
# hands the event to the page.
#
# Versions: axum 0.8.9, http-body-util 0.1.3, tokio 1.54.1. Needs cargo with Rust 1.85 or later; takes about a minute.
#
# Steps: answer with two events, one with an empty text as its data and one with a text, and read the body of the answer.
#
# A reader would expect `data:` for the empty text: the call says that there is data, and an event whose name says all needs no text.
# Seen: the answer has `event: hello` and an empty line, without `data:`. By the HTML standard a browser drops an event for which no
# line of data came, and delivers one with an empty line `data:`. So a listener of `hello` is never called, and only a test with a
# real browser notices it: the bytes look as they should.
# The script fails when that changes.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat > Cargo.toml <<'E'
[package]
name = "events"
edition = "2024"
[workspace]
[dependencies]
axum = { version = "=0.8.9", default-features = false, features = ["tokio"] }
futures-util = { version = "0.3", default-features = false }
http-body-util = "=0.1.3"
tokio = { version = "=1.54.1", features = ["macros", "rt"] }
E
cat > src/main.rs <<'E'
use std::convert::Infallible;

use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use http_body_util::BodyExt;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let event = |data: &str| Ok::<_, Infallible>(Event::default().event("hello").data(data));
    let events = futures_util::stream::iter([event(""), event("x")]);
    let body = Sse::new(events).into_response().into_body();
    let text = body.collect().await.expect("a body").to_bytes();
    println!("{:?}", String::from_utf8_lossy(&text));
}
E
said=$(cargo run -q)
echo "axum 0.8.9: $said"
if [ "$said" != '"event: hello\n\nevent: hello\ndata: x\n\n"' ]; then echo "changed: an event with empty data has another form"; exit 1; fi
