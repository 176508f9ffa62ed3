//! The stream of changes, as a browser reads it.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures_util::StreamExt as _;
use kser_web::StreamsEnd;
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;

use crate::world::{World, fails, open, says};

/// A stream that is open.
struct Stream {
    body: BodyDataStream,
    rest: String,
}

impl Stream {
    async fn open(world: &World, path: &str) -> Result<Self, StatusCode> {
        let request = Request::builder().uri(path).header("host", "localhost");
        let request = request.body(Body::empty()).expect("a request");
        let answer = world
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer");
        match answer.status() {
            StatusCode::OK => Ok(Self {
                body: answer.into_body().into_data_stream(),
                rest: String::new(),
            }),
            status => Err(status),
        }
    }

    /// Reads the next event: its name and its data. `None` at the end.
    async fn next(&mut self) -> Option<(String, String)> {
        loop {
            while let Some((event, rest)) = self.rest.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.rest = rest;
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().trim().to_owned()
                };
                if event.contains("event:") {
                    return Some((field("event:"), field("data:")));
                }
            }
            let chunk = self.body.next().await?.expect("a chunk");
            self.rest += std::str::from_utf8(&chunk).expect("a text");
        }
    }
}

fn event(name: &str, data: &str) -> Option<(String, String)> {
    Some((name.to_owned(), data.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_within_two_seconds() {
    let world = World::new(open()).await;
    let id = world
        .run("order 7", vec![fails("no money"), says("shipped")])
        .await;
    let mut stream = Stream::open(&world, "/live?see=run%3Aorder%25207&see=overview")
        .await
        .expect("a stream");
    assert_eq!(stream.next().await, event("hello", "live"));
    let begun = [stream.next().await, stream.next().await];
    assert!(
        begun.contains(&event("begun", "run:order%207")),
        "{begun:?}"
    );
    assert!(begun.contains(&event("begun", "overview")), "{begun:?}");
    let quiet = timeout(Duration::from_secs(600), stream.next()).await;
    assert!(quiet.is_err(), "nothing has changed: {quiet:?}");
    world.client.runs().resume(&id).await.expect("a resume");
    let resumed = Instant::now();
    let told = [stream.next().await, stream.next().await];
    assert!(
        told.contains(&event("changed", "run:order%207")),
        "{told:?}"
    );
    assert!(told.contains(&event("changed", "overview")), "{told:?}");
    assert!(
        resumed.elapsed() <= Duration::from_secs(2),
        "{:?}",
        resumed.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn two_hundred_streams_are_open_and_no_more() {
    let world = World::new(open()).await;
    let mut streams = Vec::new();
    for _ in 0..200 {
        streams.push(
            Stream::open(&world, "/live?see=runs")
                .await
                .expect("a stream"),
        );
    }
    for stream in &mut streams {
        assert_eq!(stream.next().await, event("hello", "live"));
        assert_eq!(stream.next().await, event("begun", "runs"));
    }
    let refused = Stream::open(&world, "/live?see=runs").await.err();
    assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));
    drop(streams.pop());
    assert!(Stream::open(&world, "/live?see=runs").await.is_ok());
    world.run("order-7", vec![says("done")]).await;
    for stream in &mut streams {
        assert_eq!(stream.next().await, event("changed", "runs"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_does_not_read_is_told_that_it_has_missed_news() {
    let world = World::new(open()).await;
    let mut slow = Stream::open(&world, "/live?see=runs")
        .await
        .expect("a stream");
    let mut quick = Stream::open(&world, "/live?see=runs")
        .await
        .expect("a stream");
    for _ in 0..2 {
        quick.next().await;
    }
    for n in 0..30 {
        world.run(&format!("order-{n}"), vec![says("done")]).await;
        assert_eq!(quick.next().await, event("changed", "runs"));
    }
    let mut names = Vec::new();
    while let Ok(Some((name, _))) = timeout(Duration::from_secs(5), slow.next()).await {
        names.push(name);
    }
    assert_eq!(
        names.last().map(String::as_str),
        Some("resync"),
        "{names:?}"
    );
    assert!(names.len() < 25, "its news are bounded: {names:?}");
    world.run("order-30", vec![says("done")]).await;
    assert_eq!(slow.next().await, event("changed", "runs"), "it goes on");
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_never_reads_is_given_up() {
    let world = World::new(open()).await;
    let _dead = Stream::open(&world, "/live?see=runs")
        .await
        .expect("a stream");
    let mut streams = Vec::new();
    for _ in 0..199 {
        streams.push(
            Stream::open(&world, "/live?see=waiting")
                .await
                .expect("a stream"),
        );
    }
    for n in 0..30 {
        world.run(&format!("order-{n}"), vec![says("done")]).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(Stream::open(&world, "/live?see=runs").await.is_err());
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(Stream::open(&world, "/live?see=runs").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn streams_end_before_the_server() {
    let end = StreamsEnd::new();
    let world = World::new(open().with_streams_end(&end)).await;
    let mut stream = Stream::open(&world, "/live?see=runs")
        .await
        .expect("a stream");
    assert_eq!(stream.next().await, event("hello", "live"));
    assert_eq!(stream.next().await, event("begun", "runs"));
    end.now();
    assert_eq!(stream.next().await, event("bye", "stop"));
    assert_eq!(stream.next().await, None);
    let refused = Stream::open(&world, "/live?see=runs").await.err();
    assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_is_kept_open_by_comments() {
    let world = World::new(open()).await;
    let mut stream = Stream::open(&world, "/live?see=runs")
        .await
        .expect("a stream");
    stream.next().await;
    stream.next().await;
    let chunk = timeout(Duration::from_secs(20), stream.body.next()).await;
    let chunk = chunk.expect("a comment").expect("a chunk").expect("bytes");
    assert!(chunk.starts_with(b":"), "{chunk:?}");
}

#[tokio::test]
async fn a_stream_names_its_subjects() {
    let world = World::new(open()).await;
    for path in ["/live", "/live?see=moon", "/live?see="] {
        let refused = Stream::open(&world, path).await.err();
        assert_eq!(refused, Some(StatusCode::BAD_REQUEST), "{path}");
    }
    let answer = world
        .ask(
            "POST",
            "/live?see=runs",
            &[("sec-fetch-site", "same-origin")],
            "",
        )
        .await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}
