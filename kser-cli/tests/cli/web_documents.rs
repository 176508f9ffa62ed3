use axum::body::{Body, to_bytes};
use axum::http::Request;
use kser_web::{Access, Gate, WebOptions};
use tower::ServiceExt as _;

use super::runs::consumer;
use super::world::World;

#[tokio::test(start_paused = true)]
async fn the_page_gives_the_documents_of_the_program() {
    let world = World::still().await.with_runs().await.with_letters().await;
    let _running = consumer(&world);
    let gate = Gate::program(|_| Access::Read("oncall".to_owned()));
    let pages = kser_web::router(world.ops.clone(), WebOptions::new(gate));
    for (line, path) in [
        ("status", "status"),
        ("runs ls", "runs"),
        ("runs ls --status failed -n 1", "runs?status=failed&limit=1"),
        ("runs ls --op nothing.Here", "runs?op=nothing.Here"),
        ("runs causes", "run-causes"),
        ("runs show 7f3c1", "runs/7f3c1"),
        (
            "runs show 7f3c1 --payloads -n 1",
            "runs/7f3c1?payloads=true&limit=1",
        ),
        ("runs why 7f3c1", "runs/7f3c1/why"),
        ("runs outcome c0ff", "runs/c0ff/outcome"),
        ("letters ls", "letters"),
        ("letters ls billing -n 2", "letters?topic=billing&limit=2"),
        ("letters causes billing", "letter-causes?topic=billing"),
        ("letters show billing/0/1", "letters/billing/0/1"),
        (
            "letters show billing/0/1 --payload",
            "letters/billing/0/1?payload=true",
        ),
        ("consumers ls", "consumers"),
        ("topics", "topics"),
        ("groups", "groups"),
        ("waiting", "waiting"),
    ] {
        let request = Request::get(format!("/api/v1/{path}")).header("host", "localhost");
        let request = request.body(Body::empty()).expect("a request");
        let answer = pages.clone().oneshot(request).await.expect("an answer");
        let body = to_bytes(answer.into_body(), 10_000_000)
            .await
            .expect("a body");
        let program = world.kser(&format!("{line} --json")).await;
        assert_eq!(String::from_utf8_lossy(&body), program.text, "{line}");
    }
}
