//! Markup and control characters in every text from outside: shown as text.

use std::time::Duration;

use kser::backend::{Record, Transport as _, headers};
use kser::client::Client;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::{Object, Topic};
use kser::{Context, Registry, Step, TaskError};

use crate::world::{Work, World, fails, open};

const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'\u{1b}]0;x\u{7}\u{202e}javascript:alert(1)";

/// Fails unless a page has no element, attribute or control character of the hostile text.
fn check(path: &str, text: &str) {
    let scripts = text.matches("<script").count();
    assert!(scripts <= 1, "{path} has a script: {text}");
    assert!(!text.contains("<img"), "{path}: {text}");
    assert!(!text.contains("=\"javascript:"), "{path}: {text}");
    let is_hostile = |it: char| (it.is_control() && it != '\n') || it == '\u{202e}';
    assert!(!text.contains(is_hostile), "{path}: {text:?}");
}

#[tokio::test(start_paused = true)]
async fn texts_of_runs_are_text() {
    let world = World::new(open().with_name(HOSTILE)).await;
    let step = Work {
        says: HOSTILE.to_owned(),
        ..Work::default()
    };
    world.run(HOSTILE, vec![step, fails(HOSTILE)]).await;
    let producer = world.client.producer();
    let name = format!("shop.{HOSTILE}");
    let launch = producer.launch_named(name.as_str(), Object::default());
    launch.with_id("named").await.expect("a launch");
    let launch = producer.launch_steps(name.as_str(), vec![Step::new(fails(""))]);
    launch.with_id("steps").await.expect("a launch");
    let id = world
        .client
        .runs()
        .find("\">", 1)
        .await
        .expect("an id")
        .remove(0);
    let runs = world.client.runs().by(HOSTILE, HOSTILE);
    runs.resume(&id).await.expect("a resume");
    runs.cancel(&id).await.expect("a cancellation");
    let path = format!(
        "/runs/{}",
        form_urlencoded::byte_serialize(id.as_str().as_bytes()).collect::<String>()
    );
    let path = path.replace('+', "%20");
    for path in [
        "/",
        "/runs",
        &path,
        &format!("{path}?show=1"),
        &format!("{path}?show=2"),
        "/runs/named",
        "/runs/steps",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        check(path, &answer.text);
    }
    let shown = world.get(&path).await.text;
    assert!(
        shown.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{shown}"
    );
    assert!(shown.contains("cancel"), "the verbs are shown: {shown}");
}

#[tokio::test(start_paused = true)]
async fn texts_of_letters_are_text() {
    let transport = MemoryTransport::new();
    let topic = Topic::new("shop.dlt").expect("a topic");
    let letter = Record::new(topic, Some(HOSTILE.into()));
    let names = [
        headers::ERROR,
        headers::ENTRYPOINT,
        headers::RUN,
        headers::GROUP,
        headers::CODE,
    ];
    let letter = names
        .into_iter()
        .fold(letter, |letter, name| letter.with_header(name, HOSTILE));
    transport.publish(vec![letter]).await.expect("a letter");
    let client = Client::builder(transport)
        .store(MemoryStore::new())
        .build()
        .await;
    let world = World::of(client.expect("a client"), open());
    for path in [
        "/",
        "/letters",
        "/letters/list",
        "/letters/at/shop.dlt/0/0",
        "/letters/at/shop.dlt/0/0?show=payload",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        check(path, &answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn texts_of_consumers_are_text() {
    let world = World::new(open()).await;
    let registry = Registry::new().task(stands).build().expect("a registry");
    let consumer = world
        .client
        .consumer(registry)
        .with_version(HOSTILE)
        .spawn();
    let steps = vec![Step::new(fails(""))];
    let launch = world.client.producer().launch_steps("shop.Order", steps);
    launch.with_id(HOSTILE).await.expect("a launch");
    tokio::time::sleep(Duration::from_secs(11)).await;
    let text = world.get("/consumers").await.text;
    assert!(
        text.contains("pages&quot;&gt;&lt;script&gt;"),
        "the progress is shown: {text}"
    );
    check("/consumers", &text);
    drop(consumer);
}

async fn stands(context: Context, _: Work) -> Result<(), TaskError> {
    context.progress(1, 2, &format!("pages{HOSTILE}"));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    Ok(())
}

#[tokio::test]
async fn texts_of_requests_are_text() {
    let world = World::new(open()).await;
    let hostile: String = form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let hostile = hostile.replace('+', "%20");
    for path in [
        "/find?q=",
        "/runs?op=",
        "/runs?status=",
        "/runs?since=",
        "/runs?after=",
        "/runs/",
        "/runs/x?show=",
        "/",
    ] {
        let path = format!("{path}{hostile}");
        check(&path, &world.get(&path).await.text);
    }
    for host in ["<script>alert(1)</script>", "\"><img src=x>"] {
        check(
            host,
            &world.ask("GET", "/", &[("host", host)], "").await.text,
        );
    }
}
