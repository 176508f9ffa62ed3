use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::mpsc::Receiver;

use super::hub::News;
use super::stop::StreamsEnd;
use super::subject::Subject;
use crate::answer::Web;
use crate::params::Params;

/// The most subjects of a stream.
const SUBJECTS: usize = 64;

/// The time after which a browser connects again.
const RETRY: Duration = Duration::from_secs(2);

/// The time between two comments, so that proxies and browsers keep an idle stream.
const IDLE: Duration = Duration::from_secs(15);

/// Opens the stream of a browser: the subjects are those of its open pages, `?see=` for each.
pub(crate) async fn open(State(web): State<Web>, params: Params) -> Response {
    let sees: BTreeSet<Subject> = params
        .all("see")
        .filter_map(|text| text.parse().ok())
        .take(SUBJECTS)
        .collect();
    if sees.is_empty() {
        let text = "name the subjects: ?see=overview&see=run:ID\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let end = web.options.streams_end();
    let opened = match end.has_ended() {
        true => None,
        false => web.hub.open(&web.ops, &web.jobs, sees),
    };
    let Some(from) = opened else {
        let wait = [(header::RETRY_AFTER, "30")];
        let text = "there are as many streams as there may be, or the server stops\n";
        return (StatusCode::SERVICE_UNAVAILABLE, wait, text).into_response();
    };
    let alive = KeepAlive::new().interval(IDLE);
    let stream = Sse::new(events(from, end.clone())).keep_alive(alive);
    // A proxy that buffers shows nothing until much later.
    ([("x-accel-buffering", "no")], stream).into_response()
}

fn events(
    from: Receiver<News>,
    end: StreamsEnd,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    // Browsers hand no event without data to the page.
    let hello = Event::default().event("hello").retry(RETRY).data("live");
    let news = stream::unfold(from, |mut from| async move {
        let news = from.recv().await?;
        Some((event(&news), from))
    });
    let bye = Event::default().event("bye").data("stop");
    let news = news.take_until(async move { end.wait().await });
    let all = stream::iter([hello]).chain(news).chain(stream::iter([bye]));
    all.map(Ok)
}

fn event(news: &News) -> Event {
    let event = Event::default();
    match news {
        News::Begun(subject) => event.event("begun").data(subject.to_string()),
        News::Changed(subject) => event.event("changed").data(subject.to_string()),
        News::Missed => event.event("resync").data("all"),
    }
}
