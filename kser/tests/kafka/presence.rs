//! The announcements of consumers in a topic of Kafka.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kser::client::{Clock as _, SystemClock};
use kser::presence::{CommandVerb, Presence, PresentState};
use kser::{Client, Context, Entrypoint, Error, Registry};
use kser_testkit::presence::PresenceHarness;
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use test_services::Admin;
use tokio::time::{sleep, timeout};

use crate::common::{SHORT_SESSION, Tested, connect, on_kafka, patiently, until, url};

/// The time for events that come sooner, unless they are lost.
const LONG: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_kafka("the_topic_of_announcements_keeps_the_contract", contract),
        on_kafka("a_consumer_announces_itself_in_a_topic", announced),
        on_kafka(
            "a_consumer_that_is_paused_from_outside_keeps_its_partitions",
            commanded,
        ),
        on_kafka("a_missing_topic_of_announcements_harms_nothing", missing),
    ]
}

#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("desk.Print")]
struct Print {}

fn printing() -> Registry {
    let print = |ctx: Context, _: Print| async move {
        ctx.progress(37, 100, "pages");
        sleep(Duration::from_secs(60)).await;
    };
    Registry::new().task(print).build().unwrap()
}

/// The sentences about announcements in the contract of stores.
async fn contract() -> Tested {
    let harness = |kser: &Client| {
        let store = kser.presence_store()?;
        Ok::<_, Error>(PresenceHarness::new(store, "test"))
    };
    // The topic is made at its first use, or by `ensure_topics`.
    let creating = url("create=3");
    let created = patiently(|| kser::connect(&creating)).await?;
    harness(&created)?.lists_the_latest_of_each().await;
    let ensured = connect(&url(""), &printing(), 1).await?;
    harness(&ensured)?.withdraws().await;
    let ages = connect(&url(""), &printing(), 1).await?;
    harness(&ages)?.lists_ages().await;
    let many = connect(&url(""), &printing(), 1).await?;
    harness(&many)?.lists_while_many_announce().await;
    Ok(())
}

async fn announced() -> Tested {
    let url = url("");
    let kser = connect(&url, &printing(), 2).await?;
    let consumer = kser.consumer(printing()).with_instance("desk-0");
    let consumer = consumer.with_shutdown_timeout(Duration::ZERO).spawn();
    kser.producer().send(Print {}).await?;
    // Another process looks.
    let operator = kser::connect(&url).await?;
    let shown = async {
        loop {
            let all = operator.announced_consumers().await?;
            let presence = all.first().map(|only| &only.presence);
            let is_whole = presence.is_some_and(|presence| {
                let mut running = presence.running.iter();
                running.any(|task| task.progress.is_some()) && !presence.assigned.is_empty()
            });
            if is_whole {
                return Ok::<_, Error>(all);
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    let all = timeout(LONG, shown).await??;
    let presence = &all.first().unwrap().presence;
    assert!(presence.id.ends_with("kser.desk/desk-0"), "{}", presence.id);
    assert_eq!(presence.state, PresentState::Running);
    let assigned: Vec<_> = presence.assigned.values().collect();
    assert_eq!(assigned, ["0-1"]);
    let progress = presence.running.first().unwrap().progress.clone().unwrap();
    assert_eq!((progress.done, progress.total), (37, Some(100)));
    // Looking joins no group.
    let prefix = operator.routes().prefix().to_owned();
    let groups = operator.inspect().unwrap().groups().await?.into_iter();
    let groups = groups.filter(|group| group.starts_with(&prefix));
    let expected = ["kser.desk", "kser.desk.delay"].map(|name| format!("{prefix}{name}"));
    assert_eq!(groups.collect::<Vec<_>>(), expected);
    consumer.stop().await?;
    assert_eq!(operator.announced_consumers().await?, []);
    Ok(())
}

/// Where the topic of the announcements does not exist, it is not created, the consumer works, and its health tells the reason.
async fn missing() -> Tested {
    let url = url("");
    let kser = patiently(|| kser::connect(&url)).await?;
    let prefix = kser.routes().prefix().to_owned();
    let topic = format!("{prefix}desk");
    let create = move || Admin::new(test_services::kafka()).create_topic(&topic, 1, 1);
    tokio::task::spawn_blocking(create).await?;
    let consumer = kser.consumer(printing());
    let consumer = consumer.with_shutdown_timeout(Duration::ZERO).spawn();
    let handle = consumer.handle();
    kser.producer().send(Print {}).await?;
    until("the handler runs", LONG, || !handle.running().is_empty()).await?;
    let error = || handle.health().presence.and_then(|presence| presence.error);
    until("the health tells", LONG, || error().is_some()).await?;
    assert!(error().unwrap().contains("kser.consumers"), "{:?}", error());
    let refused = kser.announced_consumers().await;
    assert!(
        matches!(refused, Err(Error::MissingTopic { .. })),
        "{refused:?}"
    );
    let topics = kser.inspect().unwrap().topics().await?.into_iter();
    let ours: Vec<_> = topics
        .filter(|topic| topic.as_str().starts_with(&prefix))
        .collect();
    assert_eq!(ours, [format!("{prefix}desk").as_str().try_into()?]);
    consumer.stop().await?;
    Ok(())
}

/// Waits until a consumer announces itself in a way.
async fn seen(
    operator: &Client,
    name: &str,
    fits: impl Fn(&Presence) -> bool + Send + Sync,
) -> Result<Presence, libtest_mimic::Failed> {
    let shown = async {
        loop {
            let all = operator.announced_consumers().await?;
            let mut all = all.into_iter().map(|found| found.presence);
            let found = all.find(|found| found.id.ends_with(name));
            if let Some(found) = found.filter(|found| fits(found)) {
                return Ok::<_, Error>(found);
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    Ok(timeout(LONG, shown).await??)
}

/// A consumer that an operator pauses keeps its partitions for longer than a session, and its records wait; a drain ends it.
async fn commanded() -> Tested {
    let url = url(SHORT_SESSION);
    let done = Arc::new(AtomicUsize::new(0));
    let count = |counted: Arc<AtomicUsize>, _: Print| async move {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let registry = || {
        let registry = Registry::new().task_with(Arc::clone(&done), count);
        registry.build().unwrap()
    };
    let kser = connect(&url, &registry(), 2).await?;
    let obedient = |name: &str| {
        let consumer = kser.consumer(registry()).with_instance(name);
        consumer.with_remote_control().spawn()
    };
    let (first, second) = (obedient("desk-0"), obedient("desk-1"));
    let operator = kser::connect(&url).await?;
    let has_one = |presence: &Presence| presence.assigned.values().any(|all| all.len() == 1);
    seen(&operator, "desk-0", has_one).await?;
    let told = seen(&operator, "desk-1", has_one).await?;
    let by = ("oncall", "the bank is away");
    let command = async |verb, told: &Presence| {
        let until = SystemClock::new().wall() + LONG;
        operator.command_consumer(told, verb, by, until).await
    };
    command(CommandVerb::Pause, &told).await?;
    let paused = seen(&operator, "desk-1", |it| it.state == PresentState::Paused).await?;
    assert_eq!(paused.assigned, told.assigned);
    for _ in 0..40 {
        kser.producer().send(Print {}).await?;
    }
    sleep(Duration::from_secs(6)).await;
    let waits = 40 - done.load(Ordering::Relaxed);
    assert!((1..40).contains(&waits), "{waits} records wait");
    let paused = seen(&operator, "desk-1", |it| it.state == PresentState::Paused).await?;
    assert_eq!(
        paused.assigned, told.assigned,
        "no rebalance has taken its partition"
    );
    command(CommandVerb::Resume, &told).await?;
    until("all are done", LONG, || done.load(Ordering::Relaxed) == 40).await?;
    command(CommandVerb::Drain, &told).await?;
    timeout(LONG, second.join()).await??;
    first.stop().await?;
    Ok(())
}
