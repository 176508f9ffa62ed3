//! Acts on runs and dead letters, as forms without a script send them.

use std::time::Duration;

use axum::http::{StatusCode, header};
use kser::run::Status;
use kser::{Client, IntoTask, Registry, RetryPolicy, TaskError};
use kser_web::WebOptions;

use crate::world::{Answer, Work, World, fails, open, says};

fn acting() -> WebOptions {
    open().with_acts()
}

impl World {
    /// Sends a form of a page of the server.
    async fn post(&self, path: &str, form: &str) -> Answer {
        let own = [("sec-fetch-site", "same-origin")];
        self.ask("POST", path, &own, form).await
    }

    async fn status(&self, id: &str) -> Status {
        let state = self.client.runs().status(&id.into()).await;
        state.expect("a state").status
    }

    /// Reads the pages of an act until it has ended.
    async fn end_of(&self, act: &str) -> String {
        loop {
            let text = self.get(act).await.text;
            if !text.contains(r#"data-state="goes on""#) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Starts a consumer whose bank is open again.
fn repaired(client: &Client) -> kser::consumer::RunningConsumer {
    async fn works(_: Work) -> Result<String, TaskError> {
        Ok("repaired".to_owned())
    }
    let registry = Registry::new().task(works.with_retry(RetryPolicy::never()));
    client
        .consumer(registry.build().expect("a registry"))
        .spawn()
}

/// Returns the address in a form's `action`.
fn action(text: &str) -> String {
    let form = text
        .split(r#"<form class="act" method="post" action=""#)
        .nth(1);
    let action = form.and_then(|form| form.split('"').next());
    action
        .unwrap_or_else(|| panic!("a form: {text}"))
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_run_offers_the_acts_that_the_rules_allow() {
    let world = World::new(acting()).await;
    world
        .run("failed", vec![fails("no money"), says("shipped")])
        .await;
    world.run("done", vec![says("shipped")]).await;
    let failed = world.get("/runs/failed").await.text;
    for act in ["resume", "retry", "skip", "purge", "fork"] {
        assert!(
            failed.contains(&format!(r#"href="/runs/failed/{act}""#)),
            "{act}: {failed}"
        );
    }
    assert!(!failed.contains(r#"data-act="cancel""#) && !failed.contains(r#"data-act="report""#));
    let done = world.get("/runs/done").await.text;
    assert!(done.contains(r#"data-act="purge""#) && !done.contains(r#"data-act="resume""#));
    let refused = world.get("/runs/done/resume").await.text;
    assert!(
        refused.contains(r#"id="refused""#) && !refused.contains("<form class=\"act\""),
        "{refused}"
    );
    assert_eq!(
        world.get("/runs/done/explode").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_is_resumed_by_the_name_of_the_visitor() {
    let world = World::new(acting()).await;
    world
        .run("order-7", vec![fails("no money"), says("shipped")])
        .await;
    let preview = world.get("/runs/order-7/resume").await.text;
    assert!(preview.contains("done steps do not run again"), "{preview}");
    assert_eq!(action(&preview), "/runs/order-7/resume");
    assert_eq!(
        world.status("order-7").await,
        Status::Failed,
        "looking changes nothing"
    );
    let done = world
        .post("/runs/order-7/resume", "reason=the+bank+is+open")
        .await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    assert_eq!(done.header(header::LOCATION), "/runs/order-7");
    assert_eq!(world.status("order-7").await, Status::Running);
    let text = world.get("/runs/order-7").await.text;
    assert!(
        text.contains("resume by oncall") && text.contains("the bank is open"),
        "{text}"
    );
    let again = world.post("/runs/order-7/resume", "").await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.text.contains("order-7"), "{}", again.text);
}

#[tokio::test(start_paused = true)]
async fn a_step_is_skipped_with_an_outcome_and_a_run_is_forked_and_forgotten() {
    let world = World::new(acting()).await;
    world
        .run("order-7", vec![says("reserved"), fails("no money")])
        .await;
    let without = world.post("/runs/order-7/skip", "outcome=paid").await;
    assert_eq!(
        without.status,
        StatusCode::BAD_REQUEST,
        "the step is named by the form"
    );
    let wrong = world
        .post("/runs/order-7/skip", "step=2&outcome=%7B%22a")
        .await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let forked = world.post("/runs/order-7/fork", "from=2").await;
    assert_eq!(forked.status, StatusCode::SEE_OTHER, "{}", forked.text);
    let fork = forked.header(header::LOCATION).to_owned();
    assert!(fork.starts_with("/runs/") && fork != "/runs/order-7");
    assert_eq!(world.get(&fork).await.status, StatusCode::OK);
    let skipped = world
        .post(
            "/runs/order-7/skip",
            "step=2&outcome=paid+by+hand&reason=cash",
        )
        .await;
    assert_eq!(skipped.status, StatusCode::SEE_OTHER, "{}", skipped.text);
    assert_eq!(world.status("order-7").await, Status::Success);
    let text = world.get("/runs/order-7").await.text;
    assert!(
        text.contains("skip step by oncall") && text.contains("cash"),
        "{text}"
    );
    let purged = world.post("/runs/order-7/purge", "").await;
    assert_eq!(purged.header(header::LOCATION), "/runs");
    assert_eq!(
        world.get("/runs/order-7").await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test(start_paused = true)]
async fn another_site_sends_no_form() {
    let world = World::new(acting()).await;
    world.run("order-7", vec![fails("no money")]).await;
    for headers in [
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://evil.example"),
        ][..],
        &[
            ("sec-fetch-site", "same-site"),
            ("origin", "http://127.0.0.1:3000"),
        ],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[],
    ] {
        let answer = world.ask("POST", "/runs/order-7/resume", headers, "").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(world.status("order-7").await, Status::Failed);
}

#[tokio::test(start_paused = true)]
async fn letters_of_a_cause_are_replayed_with_a_canary_and_progress() {
    let world = World::new(acting()).await;
    for n in 0..5 {
        world
            .run(
                &format!("order-{n}"),
                vec![fails(&format!("order {n} has no money"))],
            )
            .await;
    }
    let text = world.get("/letters").await.text;
    let plan = text
        .split("href=\"")
        .find(|link| link.starts_with("/plan/letters/replay?cause="));
    let plan = plan
        .and_then(|link| link.split('"').next())
        .expect("a replay")
        .replace("&amp;", "&");
    let preview = world.get(&plan).await.text;
    assert!(
        preview.contains(r#"data-taken="5" data-refused="0""#),
        "{preview}"
    );
    let to = action(&preview);
    for (form, why) in [
        ("reason=open+again&expect=4", "4"),
        ("reason=open+again", "&quot;&quot; was typed"),
        ("expect=5", "needs a reason"),
    ] {
        let refused = world.post(&to, form).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{form}");
        assert!(refused.text.contains(why), "{form}: {}", refused.text);
    }
    let consumer = repaired(&world.client);
    let begun = world
        .post(
            &to,
            "reason=open+again&expect=5&canary=1&stop_after=2&wait=60s",
        )
        .await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.text);
    let act = begun.header(header::LOCATION).to_owned();
    assert_eq!(
        world.post(&to, "reason=again&expect=5").await.status,
        StatusCode::NOT_FOUND
    );
    let ended = world.end_of(&act).await;
    assert!(
        ended.contains(r#"data-state="ended" data-done="5""#),
        "{ended}"
    );
    assert!(ended.contains(r#"<dd id="succeeded">5</dd>"#), "{ended}");
    assert!(ended.contains("by oncall: open again"), "{ended}");
    consumer.stop().await.expect("a stop");
    assert_eq!(world.status("order-4").await, Status::Success);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let text = world.get("/letters").await.text;
    assert!(text.contains("There are no dead letters."), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_again_stops_the_act() {
    let world = World::new(acting()).await;
    for n in 0..4 {
        world
            .run(&format!("order-{n}"), vec![fails("no money")])
            .await;
    }
    let preview = world.get("/plan/runs/resume?status=failed").await.text;
    assert!(preview.contains(r#"data-taken="4""#), "{preview}");
    let task = async |work: Work| Err::<(), _>(TaskError::permanent("Refused", work.error));
    let registry = Registry::new().task(task.with_retry(RetryPolicy::never()));
    let consumer = world
        .client
        .consumer(registry.build().expect("a registry"))
        .spawn();
    let begun = world
        .post(&action(&preview), "reason=try&expect=4&canary=1")
        .await;
    let ended = world.end_of(begun.header(header::LOCATION)).await;
    assert!(
        ended.contains(r#"data-state="stopped" data-done="1""#),
        "{ended}"
    );
    assert!(ended.contains("3 were not tried"), "{ended}");
    consumer.stop().await.expect("a stop");
}

#[tokio::test(start_paused = true)]
async fn an_act_is_stopped_by_a_person() {
    let world = World::new(acting()).await;
    for n in 0..4 {
        world
            .run(&format!("order-{n}"), vec![fails("no money")])
            .await;
    }
    let preview = world.get("/plan/runs/resume?status=failed").await.text;
    // Without a consumer the canary stands.
    let begun = world
        .post(&action(&preview), "reason=try&expect=4&canary=1&wait=1h")
        .await;
    let act = begun.header(header::LOCATION).to_owned();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let text = world.get(&act).await.text;
    assert!(
        text.contains(r#"data-state="goes on" data-done="1""#),
        "{text}"
    );
    let stopped = world.post(&format!("{act}/stop"), "").await;
    assert_eq!(stopped.header(header::LOCATION), act);
    let text = world.get(&act).await.text;
    assert!(
        text.contains(r#"data-state="stopped" data-done="1""#),
        "{text}"
    );
    assert!(
        text.contains("a person has stopped it; 3 were not tried"),
        "{text}"
    );
    let consumer = repaired(&world.client);
    tokio::time::sleep(Duration::from_secs(30)).await;
    consumer.stop().await.expect("a stop");
    let mut ends = Vec::new();
    for n in 0..4 {
        ends.push(world.status(&format!("order-{n}")).await);
    }
    let succeeded = ends.iter().filter(|status| **status == Status::Success);
    assert_eq!(succeeded.count(), 1, "the others are left: {ends:?}");
}

#[tokio::test(start_paused = true)]
async fn one_letter_is_discarded_without_typing() {
    let world = World::new(acting()).await;
    world.run("order-7", vec![fails("no money")]).await;
    let letter = world.get("/letters/at/shop.dlt/0/0").await.text;
    assert!(
        letter.contains("/plan/letters/discard?address=shop.dlt%2F0%2F0"),
        "{letter}"
    );
    let preview = world
        .get("/plan/letters/discard?address=shop.dlt/0/0")
        .await
        .text;
    assert!(
        preview.contains(r#"<input type="hidden" name="expect" value="1">"#),
        "{preview}"
    );
    let begun = world.post(&action(&preview), "expect=1").await;
    let ended = world.end_of(begun.header(header::LOCATION)).await;
    assert!(
        ended.contains(r#"data-state="ended" data-done="1""#),
        "{ended}"
    );
}

#[tokio::test(start_paused = true)]
async fn plans_are_forgotten_in_turn() {
    let world = World::new(acting()).await;
    world.run("order-7", vec![fails("no money")]).await;
    let first = action(&world.get("/plan/runs/resume?status=failed").await.text);
    for _ in 0..16 {
        world.get("/plan/runs/resume?status=failed").await;
    }
    let gone = world.post(&first, "expect=1").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert!(gone.text.contains("forgotten"), "{}", gone.text);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_allows_it_is_paused_by_the_name_of_the_visitor() {
    let world = World::new(acting()).await;
    let registry = || {
        Registry::new()
            .task(async |_: Work| "done".to_owned())
            .build()
    };
    let consumer = |name: &str| {
        let consumer = world.client.consumer(registry().expect("a registry"));
        consumer.with_instance(name)
    };
    let obeys = consumer("shop-0").with_remote_control().spawn();
    let other = consumer("shop-1").spawn();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let text = world.get("/consumers").await.text;
    let pause = "/consumers/kser.shop%2Fshop-0/pause";
    assert!(text.contains(&format!("href=\"{pause}\"")), "{text}");
    assert!(!text.contains("shop-1/pause"), "{text}");
    assert_eq!(action(&world.get(pause).await.text), pause);
    let told = world.post(pause, "length=10m&reason=provider+down").await;
    assert_eq!(told.header(header::LOCATION), "/consumers", "{}", told.text);
    tokio::time::sleep(Duration::from_secs(12)).await;
    let text = world.get("/consumers").await.text;
    assert!(text.contains(r#"data-state="paused""#), "{text}");
    assert!(text.contains("oncall: provider down"), "{text}");
    let refused = world.post("/consumers/kser.shop%2Fshop-1/pause", "").await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text);
    for (path, form, status) in [
        (pause, "length=long", StatusCode::BAD_REQUEST),
        ("/consumers/shop-0/explode", "", StatusCode::NOT_FOUND),
        ("/consumers/nobody/drain", "", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(world.post(path, form).await.status, status, "{path}");
    }
    drop((obeys, other));
}
