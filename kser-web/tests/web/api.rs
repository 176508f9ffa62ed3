//! The HTTP interface: each answer is the document that its description tells.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use jsonschema::Validator;
use kser::Registry;
use kser::run::Status;
use serde_json::{Value, json};

use crate::world::{Answer, Work, World, fails, open, says};

/// Returns the description, as the server gives it.
async fn description(world: &World) -> Value {
    let answer = world.get("/api/v1/openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    serde_json::from_str(&answer.text).expect("JSON")
}

/// Has each object of a schema refuse members that it does not name.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("properties").is_some_and(Value::is_object) {
                members
                    .entry("additionalProperties")
                    .or_insert(false.into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Makes the validator of the answers of a path.
fn validator(description: &Value, path: &str, method: &str, status: &str) -> Validator {
    let answer = &description["paths"][path][method]["responses"][status];
    let mut schema = answer["content"]["application/json"]["schema"].clone();
    assert!(
        schema.is_object(),
        "{method} {path} has no schema of {status}"
    );
    schema["components"] = description["components"].clone();
    close(&mut schema["components"]["schemas"]);
    jsonschema::validator_for(&schema).expect("a schema")
}

fn check(description: &Value, path: &str, method: &str, answer: &Answer) -> Value {
    let status = match answer.status {
        StatusCode::OK => "200",
        _ => "default",
    };
    assert_eq!(answer.header("content-type"), "application/json", "{path}");
    let document: Value = serde_json::from_str(&answer.text).expect("one document");
    let errors: Vec<_> = validator(description, path, method, status)
        .iter_errors(&document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "{method} {path}: {errors:#?}\n{document:#}"
    );
    document
}

/// Makes an installation with runs, letters, a consumer and a wait.
async fn world() -> World {
    let world = World::new(open().with_acts()).await;
    world
        .run("order-1000", vec![says("reserved"), fails("no money")])
        .await;
    world.run("order-2000", vec![says("done")]).await;
    let later = world.client.producer().send(says("later"));
    later
        .with_delay(std::time::Duration::from_secs(60))
        .await
        .expect("a send");
    world
}

#[tokio::test(start_paused = true)]
async fn each_answer_is_the_document_of_its_description() {
    let world = world().await;
    let registry = Registry::new().task(async |_: Work| "done".to_owned());
    let consumer = world.client.consumer(registry.build().expect("a registry"));
    let consumer = consumer.with_instance("shop-0").spawn();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let description = description(&world).await;
    let mut seen = BTreeSet::from(["/openapi.json"]);
    for (path, asked) in [
        ("/status", "/status"),
        ("/runs", "/runs?status=failed&since=1h"),
        ("/runs", "/runs?op=nothing.Here"),
        ("/run-causes", "/run-causes"),
        ("/runs/{id}", "/runs/order-1"),
        ("/runs/{id}", "/runs/order-1?payloads=true"),
        ("/runs/{id}/why", "/runs/order-1/why"),
        ("/runs/{id}/outcome", "/runs/order-2/outcome"),
        ("/letters", "/letters"),
        ("/letter-causes", "/letter-causes?topic=shop"),
        (
            "/letters/{topic}/{partition}/{offset}",
            "/letters/shop.dlt/0/0?payload=true",
        ),
        ("/consumers", "/consumers"),
        ("/consumers/{id}", "/consumers/shop-0"),
        ("/topics", "/topics"),
        ("/groups", "/groups?group=kser.shop"),
        ("/waiting", "/waiting"),
    ] {
        let answer = world.get(&format!("/api/v1{asked}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{asked}: {}", answer.text);
        check(&description, path, "get", &answer);
        seen.insert(path);
    }
    let paths = description["paths"].as_object().expect("paths");
    let described = paths.iter().filter(|(_, path)| path.get("get").is_some());
    let described: BTreeSet<_> = described.map(|(path, _)| path.as_str()).collect();
    assert_eq!(described, seen);
    consumer.stop().await.expect("a stop");
}

#[tokio::test(start_paused = true)]
async fn the_description_has_each_route() {
    let world = World::new(open().with_acts()).await;
    let description = description(&world).await;
    let routes = include_str!("../../src/api.rs").split("\"/api/v1").skip(2);
    let routes: BTreeSet<_> = routes.filter_map(|rest| rest.split('"').next()).collect();
    let paths = description["paths"].as_object().expect("paths");
    let described: BTreeSet<_> = paths.keys().map(String::as_str).collect();
    assert_eq!(routes, described);
    // Each name that a path, a parameter or an answer refers to is there.
    let text = description.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(
            description["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_documents() {
    let world = world().await;
    let description = description(&world).await;
    for (path, asked, status, kind) in [
        (
            "/runs/{id}",
            "/runs/nothing",
            StatusCode::NOT_FOUND,
            "not_found",
        ),
        (
            "/runs",
            "/runs?status=done",
            StatusCode::BAD_REQUEST,
            "usage",
        ),
        (
            "/letters",
            "/letters?topic=nothing",
            StatusCode::NOT_FOUND,
            "not_found",
        ),
        (
            "/consumers/{id}",
            "/consumers/x",
            StatusCode::NOT_FOUND,
            "not_found",
        ),
        ("/status", "/nothing", StatusCode::NOT_FOUND, "not_found"),
    ] {
        let answer = world.get(&format!("/api/v1{asked}")).await;
        assert_eq!(answer.status, status, "{asked}: {}", answer.text);
        let document = check(&description, path, "get", &answer);
        assert_eq!(document["error"]["kind"], kind, "{asked}");
    }
    for headers in [
        &[("host", "evil.example")][..],
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")],
    ] {
        let answer = world.ask("GET", "/api/v1/status", headers, "").await;
        assert!(answer.status.is_client_error());
        check(&description, "/status", "get", &answer);
    }
}

#[tokio::test(start_paused = true)]
async fn acts_answer_with_their_plans_and_reports() {
    let world = world().await;
    let description = description(&world).await;
    let own = [("sec-fetch-site", "same-origin")];
    let post = async |path: &str, asked: &str, body: &str| {
        let answer = world
            .ask("POST", &format!("/api/v1{asked}"), &own, body)
            .await;
        (answer.status, check(&description, path, "post", &answer))
    };
    let (many, one) = ("/act/runs/{verb}", "/runs/{id}/act/{verb}");
    let status = async || {
        let state = world.client.runs().status(&"order-1000".into()).await;
        state.expect("a state").status
    };

    let (_, dry) = post(many, "/act/runs/resume?status=failed", "").await;
    assert_eq!(
        (&dry["plan"]["taken"], &dry["report"]),
        (&json!(1), &Value::Null)
    );
    let (code, refused) = post(many, "/act/runs/resume?status=failed&expect=2", "").await;
    assert_eq!(
        (code, &refused["error"]["kind"]),
        (StatusCode::CONFLICT, &json!("refused"))
    );
    let (_, dry) = post(one, "/runs/order-1/act/resume?dry_run=true", "").await;
    assert_eq!(dry["report"], Value::Null);
    assert_eq!(status().await, Status::Failed, "nothing was done");

    let (_, forked) = post(one, "/runs/order-1/act/fork?from=2", "").await;
    assert!(forked["id"].is_string(), "{forked}");
    let outcome = r#"{"stdout":"by hand"}"#;
    let (_, skipped) = post(one, "/runs/order-1/act/skip?step=2&reason=cash", outcome).await;
    assert_eq!(skipped["report"]["done"], 1, "{skipped}");
    assert_eq!(status().await, Status::Success);
    let letters = "/act/letters/{verb}";
    let (_, discarded) = post(letters, "/act/letters/discard?topic=shop&expect=1", "").await;
    assert_eq!(discarded["report"]["done"], 1, "{discarded}");
    let (code, _) = post(one, "/runs/order-1/act/explode", "").await;
    assert_eq!(code, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn read_only_has_no_act() {
    let world = World::new(open()).await;
    let own = [("sec-fetch-site", "same-origin")];
    for path in [
        "/api/v1/act/runs/resume",
        "/api/v1/runs/x/act/resume",
        "/api/v1/act/letters/discard",
    ] {
        let answer = world.ask("POST", path, &own, "").await;
        let is_none = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        assert!(
            is_none.contains(&answer.status),
            "{path}: {}",
            answer.status
        );
    }
}
