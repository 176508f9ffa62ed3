//! The pages, read as text.

use axum::Router;
use axum::http::{StatusCode, header};
use kser::Step;

use crate::world::{Work, World, fails, open, says};

/// The most bytes of a page.
const LARGEST: usize = 80_000;

#[tokio::test(start_paused = true)]
async fn the_overview_names_the_points_that_need_a_hand() {
    let world = World::new(open().with_name("prod")).await;
    let empty = world.get("/").await;
    assert!(
        empty.text.contains("nothing needs a hand"),
        "{}",
        empty.text
    );
    world
        .run("order-7", vec![fails("the bank is closed")])
        .await;
    let text = world.get("/").await.text;
    for part in [
        r#"data-need="runs_failed""#,
        "1 run has failed",
        r#"href="/runs?status=failed""#,
        r#"data-count="failed"><a href="/runs?status=failed"><b>1</b>"#,
        r#"<tr data-topic="shop">"#,
        "kser status",
        "prod",
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn runs_are_listed_page_by_page_with_the_filter_in_the_address() {
    let world = World::new(open()).await;
    for n in 0..7 {
        let step = match n % 2 {
            0 => fails("no money"),
            _ => says("done"),
        };
        world.run(&format!("order-{n}"), vec![step]).await;
    }
    let text = world.get("/runs?status=failed&since=1h&limit=3").await.text;
    assert!(
        text.contains("3 of 4 runs, the latest launched first"),
        "{text}"
    );
    assert!(text.contains("order-6") && text.contains("order-2") && !text.contains("order-5"));
    assert!(text.contains("Refused (500): no money"));
    assert!(text.contains(r#"<option value="failed" selected>"#));
    let next = text.split(r#"href=""#).find(|part| part.contains("after="));
    let next = next
        .and_then(|part| part.split('"').next())
        .expect("a next page");
    let next = next.replace("&amp;", "&");
    assert!(
        next.contains("since=20"),
        "the cursor belongs to these very times: {next}"
    );
    let text = world.get(&next).await.text;
    assert!(text.contains("1 of 4 runs"), "{text}");
    assert!(text.contains("order-0") && text.contains("newest") && !text.contains("order-6"));

    let none = world.get("/runs?op=nothing.Here").await;
    assert!(none.text.contains("No such runs"));
    let wrong = world.get("/runs?status=done").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(
        wrong.text.contains("status=&quot;done&quot;"),
        "{}",
        wrong.text
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_is_shown_as_its_chain() {
    let world = World::new(open()).await;
    let steps = vec![
        says("reserved"),
        fails("the bank is closed"),
        says("shipped"),
    ];
    world.run("order/7", steps).await;
    let answer = world.get("/runs/order%2F7").await;
    assert_eq!(answer.status, StatusCode::OK);
    for part in [
        r#"data-run="order/7" data-status="FAILED""#,
        r#"<li id="s1" class="ok" data-state="done">"#,
        r#"<li id="s2" class="bad" data-state="failed">"#,
        r#"<li id="s3" class="none" data-state="not begun">"#,
        "reserved",
        "step 2 (shop.Work) failed",
        r#"data-reason="failed""#,
        "kser runs resume order/7",
        r#"<rect class="bad""#,
    ] {
        assert!(
            answer.text.contains(part),
            "{part} is missing: {}",
            answer.text
        );
    }
    let missing = world.get("/runs/order-8").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.text.contains("order-8"), "{}", missing.text);
}

#[tokio::test(start_paused = true)]
async fn payloads_are_hidden_until_asked_for_and_masked() {
    let world = World::new(open().with_masked(["amount"])).await;
    let step = Work {
        error: "refused".to_owned(),
        password: "hunter2".to_owned(),
        amount: Some(serde_json::Number::from(4711)),
        says: "12345678901234567890.10".to_owned(),
    };
    world.run("order-7", vec![step]).await;
    let hidden = world.get("/runs/order-7").await.text;
    assert!(!hidden.contains("12345678901234567890"), "{hidden}");
    let shown = world.get("/runs/order-7?show=1").await.text;
    assert!(shown.contains("12345678901234567890.10"), "{shown}");
    assert!(
        shown.contains("&quot;password&quot;:&quot;***&quot;"),
        "{shown}"
    );
    assert!(
        !shown.contains("hunter2") && !shown.contains("4711"),
        "{shown}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_run_is_shown_around_the_step_at_which_it_stands() {
    long_run(World::new(open()).await).await;
}

#[tokio::test]
async fn a_long_run_is_shown_so_from_sqlite() {
    let folder = std::env::temp_dir().join(format!("kser-web-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let store = format!("sqlite://{}/shop.db", folder.display());
    let client = kser::connect_with_store("memory://", &store).await;
    long_run(World::of(client.expect("a client"), open())).await;
    std::fs::remove_dir_all(&folder).expect("no folder");
}

async fn long_run(world: World) {
    let mut steps: Vec<_> = (1..=900)
        .map(|n| says(&format!("part {n} is done{}", "<".repeat(300))))
        .collect();
    steps[600] = fails("the paper is empty");
    world.run("print", steps).await;
    let text = world.get("/runs/print").await.text;
    assert!(text.len() < LARGEST, "{} bytes", text.len());
    assert_eq!(text.matches("<li id=\"s").count(), 200);
    assert!(text.contains(r#"<li id="s601" class="bad""#) && text.contains(r#"id="s600""#));
    assert!(
        text.contains("451 earlier steps") && text.contains("249 later steps"),
        "{text}"
    );

    let first = world.get("/runs/print?at=1").await.text;
    assert!(first.contains(r#"<li id="s1" class="ok""#) && first.contains("part 1 is done"));
    assert!(!first.contains("earlier steps"));
    let middle = world.get("/runs/print?at=301").await.text;
    assert!(middle.contains(r#"id="s301""#) && middle.contains("part 301 is done"));
    assert!(!middle.contains("part 100 is done"));
    let last = world.get("/runs/print?at=4000000000").await.text;
    assert!(last.contains(r#"<li id="s900" class="none" data-state="not begun">"#));
    assert!(!last.contains("later steps"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stands_says_why() {
    let world = World::new(open()).await;
    let launch = world.client.producer();
    let steps = vec![Step::new(says("never"))];
    launch
        .launch_steps("shop.Order", steps)
        .with_id("order-9")
        .await
        .expect("a launch");
    let text = world.get("/runs/order-9").await.text;
    assert!(text.contains(r#"data-status="RUNNING""#), "{text}");
    assert!(text.contains("no consumer"), "{text}");
    assert!(text.contains(r#"data-state="waits""#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_run_is_found_by_the_beginning_of_its_id() {
    let world = World::new(open().with_prefix("/ops/kser").expect("a prefix")).await;
    world.run("order-7421", vec![says("done")]).await;
    let found = world.get("/find?q=order-74").await;
    assert_eq!(found.status, StatusCode::SEE_OTHER);
    assert_eq!(found.header(header::LOCATION), "/ops/kser/runs/order-7421");
    assert_eq!(
        world.get("/find?q=nothing").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        world.get("/find?q=ord").await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test(start_paused = true)]
async fn every_link_has_the_path_prefix() {
    let options = open().with_prefix("/ops/kser").expect("a prefix");
    let mut world = World::new(options).await;
    world.run("order-7", vec![fails("no money")]).await;
    world.router = Router::new().nest("/ops/kser", world.router);
    for path in [
        "/ops/kser",
        "/ops/kser/runs",
        "/ops/kser/runs/order-7",
        "/ops/kser/nothing",
        "/ops/kser/causes",
        "/ops/kser/letters",
        "/ops/kser/letters/list",
        "/ops/kser/consumers",
        "/ops/kser/waiting",
        "/ops/kser/letters/at/shop.dlt/0/0",
    ] {
        let text = world.get(path).await.text;
        assert!(text.contains(r#"data-root="/ops/kser""#), "{path}: {text}");
        for attribute in ["href=\"", "src=\"", "action=\""] {
            for link in text.split(attribute).skip(1) {
                let is_own =
                    link.starts_with("/ops/kser") || link.starts_with('#') || link.starts_with('"');
                assert!(is_own, "{path}: {}", &link[..link.len().min(60)]);
            }
        }
    }
    let style = world.get("/ops/kser/assets/page.css").await;
    assert_eq!(
        style.header(header::CONTENT_TYPE),
        "text/css; charset=utf-8"
    );
}

#[tokio::test]
async fn files_are_kept_by_browsers() {
    let world = World::new(open()).await;
    let file = world.get("/assets/page.js").await;
    assert_eq!(
        file.header(header::CACHE_CONTROL),
        "public, max-age=31536000, immutable"
    );
    let tag = file.header(header::ETAG).to_owned();
    let again = world
        .ask("GET", "/assets/page.js", &[("if-none-match", &tag)], "")
        .await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert_eq!(
        world.get("/assets/other.js").await.status,
        StatusCode::NOT_FOUND
    );
}
