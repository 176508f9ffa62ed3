//! Attacks: each is refused.

use axum::http::{StatusCode, header};
use kser_web::{Access, Gate, WebOptions};

use crate::world::{World, one_time, open};

const PAGES: [&str; 10] = [
    "/live?see=overview",
    "/",
    "/runs",
    "/runs/order-7",
    "/causes",
    "/letters",
    "/letters/list",
    "/consumers",
    "/waiting",
    "/find?q=order-7",
];

#[tokio::test]
async fn no_page_is_seen_without_a_token() {
    let (gate, _) = one_time();
    let world = World::new(WebOptions::new(gate).with_acts()).await;
    for path in PAGES.iter().chain(&["/nothing", "/assets/../runs"]) {
        let answer = world.get(path).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(!answer.text.contains("Overview"), "{}", answer.text);
    }
    for path in ["/?token=", "/?token=0123456789abcdef0123456789abcdef"] {
        assert_eq!(world.get(path).await.status, StatusCode::UNAUTHORIZED);
    }
    let cookie = [("cookie", "kser_00000000=0123456789abcdef0123456789abcdef")];
    let answer = world.ask("GET", "/", &cookie, "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    // The page that refuses has its looks.
    assert_eq!(world.get("/assets/page.css").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_becomes_a_cookie_that_no_script_and_no_other_site_has() {
    let (gate, told) = one_time();
    let options = WebOptions::new(gate)
        .with_prefix("/ops/kser")
        .expect("a prefix");
    let world = World::new(options).await;
    let token = told.lock().expect("no panic")[0].clone();
    let answer = world
        .get(&format!("/runs?token={token}&status=failed"))
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(
        answer.header(header::LOCATION),
        "/ops/kser/runs?status=failed"
    );
    let cookie = answer.header(header::SET_COOKIE).to_owned();
    let (pair, attributes) = cookie.split_once(';').expect("attributes");
    assert_eq!(attributes, " HttpOnly; SameSite=Strict; Path=/ops/kser");
    assert!(!cookie.contains(&token), "{cookie}");

    let others = format!("theme=dark; {pair}");
    let seen = world.ask("GET", "/", &[("cookie", &others)], "").await;
    assert_eq!(seen.status, StatusCode::OK);
    let again = world.get(&format!("/?token={token}")).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED, "it was used");
    assert_eq!(
        told.lock().expect("no panic").len(),
        2,
        "another one is told"
    );
}

#[tokio::test]
async fn a_token_leads_to_no_other_server() {
    let gate = Gate::token("ci", "0123456789abcdef").expect("a gate");
    let world = World::new(WebOptions::new(gate)).await;
    let answer = world.get("//evil.example/?token=0123456789abcdef").await;
    assert_eq!(answer.header(header::LOCATION), "/");
}

#[tokio::test]
async fn a_program_brings_its_token_in_a_header() {
    let gate = Gate::token("ci", "0123456789abcdef").expect("a gate");
    let world = World::new(WebOptions::new(gate)).await;
    let ask = async |value: &str| {
        let headers = [("authorization", value)];
        world.ask("GET", "/", &headers, "").await.status
    };
    assert_eq!(ask("Bearer 0123456789abcdef").await, StatusCode::OK);
    for wrong in [
        "Bearer 0123456789abcdeg",
        "Bearer",
        "Basic 0123456789abcdef",
        "",
    ] {
        assert_eq!(ask(wrong).await, StatusCode::UNAUTHORIZED, "{wrong}");
    }
}

#[tokio::test]
async fn another_host_is_refused_before_all() {
    let world = World::new(open().with_host("ops.example").expect("a host")).await;
    let ask = async |host: &str| {
        let answer = world.ask("GET", "/", &[("host", host)], "").await;
        answer.status
    };
    for own in [
        "localhost",
        "127.0.0.1:8790",
        "[::1]:8790",
        "OPS.example:443",
    ] {
        assert_eq!(ask(own).await, StatusCode::OK, "{own}");
    }
    for other in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.",
        "10.0.0.1:8790",
        "",
    ] {
        assert_eq!(ask(other).await, StatusCode::MISDIRECTED_REQUEST, "{other}");
    }
    let two = [("host", "localhost"), ("host", "evil.example")];
    let answer = world.ask("GET", "/assets/page.css", &two, "").await;
    assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn other_sites_read_nothing() {
    let world = World::new(open()).await;
    for path in PAGES {
        for site in ["cross-site", "same-site"] {
            let headers = [("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")];
            let answer = world.ask("GET", path, &headers, "").await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    let link = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
    ];
    assert_eq!(
        world.ask("GET", "/", &link, "").await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn read_only_has_no_route_that_writes() {
    let world = World::new(open()).await;
    let own = [("sec-fetch-site", "same-origin")];
    for path in PAGES
        .iter()
        .chain(&["/runs/order-7/resume", "/letters/discard"])
    {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let answer = world.ask(method, path, &own, "yes=1").await;
            let is_none = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
            assert!(
                is_none.contains(&answer.status),
                "{method} {path}: {}",
                answer.status
            );
        }
    }
}

#[tokio::test]
async fn a_reader_of_a_router_with_acts_changes_nothing() {
    let gate = Gate::program(|_| Access::Read("bert".to_owned()));
    let world = World::new(WebOptions::new(gate).with_acts()).await;
    let own = [("sec-fetch-site", "same-origin")];
    let answer = world.ask("POST", "/runs/order-7/resume", &own, "").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(world.get("/").await.text.contains("read-only"));
}

#[tokio::test]
async fn every_answer_has_the_headers_of_security() {
    let world = World::new(open()).await;
    let host = [("host", "evil.example")];
    let answers = [
        world.get("/").await,
        world.get("/nothing").await,
        world.get("/assets/page.js").await,
        world.ask("GET", "/", &host, "").await,
        world.ask("POST", "/", &[], "").await,
    ];
    for answer in answers {
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    }
    assert_eq!(world.get("/").await.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_proxy_names_the_visitor() {
    let gate = Gate::header("x-forwarded-user").expect("a gate");
    let world = World::new(WebOptions::new(gate).with_acts()).await;
    let ask = async |headers: &[(&str, &str)]| world.ask("GET", "/", headers, "").await;
    assert_eq!(ask(&[]).await.status, StatusCode::FORBIDDEN);
    let twice = [("x-forwarded-user", "oncall"), ("x-forwarded-user", "root")];
    assert_eq!(ask(&twice).await.status, StatusCode::FORBIDDEN);
    let named = ask(&[("x-forwarded-user", "<b>oncall</b>")]).await;
    assert!(
        named
            .text
            .contains("acts as <b>&lt;b&gt;oncall&lt;/b&gt;</b>"),
        "{}",
        named.text
    );
}
