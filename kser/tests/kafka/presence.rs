//! The announcements of consumers in a topic of Kafka.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use kser::presence::PresentState;
use kser::{Context, Entrypoint, Error, Registry};
use kser_testkit::presence::PresenceHarness;
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use test_services::Admin;
use tokio::time::{sleep, timeout};

use crate::common::{Tested, connect, on_kafka, patiently, until, url};

/// The time for events that come sooner, unless they are lost.
const LONG: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_kafka("the_topic_of_announcements_keeps_the_contract", contract),
        on_kafka("a_consumer_announces_itself_in_a_topic", announced),
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
    let harness = |kser: &kser::Client| {
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
