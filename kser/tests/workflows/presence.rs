//! The announcements of consumers, and the progress of handlers in them.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use kser::client::Mode;
use kser::consumer::ConsumerHandle;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::presence::{
    Announced, AnnouncedConsumer, PRESENCE_KEPT, PRESENCE_SILENT, PresenceStore, PresentState,
};
use kser::{Client, Context, Error, Registry, Step};
use kser_testkit::presence::PresenceHarness;
use tokio::time::{Instant, sleep};

use crate::common::{Diary, Note, both, client, note, noting, slow};
use crate::faulty::Deaf;

const BEAT: Duration = Duration::from_secs(6);

async fn only(kser: &Client) -> AnnouncedConsumer {
    let mut all = kser.announced_consumers().await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// A task that reports its progress, and takes a minute.
fn reporting() -> Registry {
    let report = |ctx: Context, _: Note| async move {
        ctx.progress(37, 100, "pages");
        sleep(Duration::from_secs(60)).await;
    };
    Registry::new().task(report).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_consumer_announces_what_it_has_and_runs() {
    for kser in both().await {
        let consumer = kser.consumer(reporting()).with_instance("desk-0");
        let consumer = consumer.with_version("1.4.2").with_concurrency(8).spawn();
        let steps = vec![Step::new(note("a"))];
        let run = kser.producer().launch_steps("test.Game", steps).await;
        let run = run.unwrap();
        sleep(BEAT).await;
        let AnnouncedConsumer {
            presence,
            age,
            is_silent,
            ..
        } = only(&kser).await;
        assert!(age < BEAT && !is_silent, "{age:?}");
        assert_eq!(presence.id, "kser.test/desk-0");
        assert_eq!(presence.instance, Some("desk-0".into()));
        assert_eq!(presence.groups, ["kser.test"]);
        assert_eq!(presence.topics, ["test".try_into().unwrap()]);
        assert_eq!(presence.version.as_deref(), Some("1.4.2"));
        assert_eq!(presence.entrypoints, ["test.Note".into()]);
        assert_eq!(presence.has_registered(&"test.Other".into()), Some(false));
        assert_eq!(
            (presence.state, presence.places),
            (PresentState::Running, 8)
        );
        assert_eq!(presence.held, 1);
        let task = presence.running.first().unwrap();
        assert_eq!(task.entrypoint, "test.Note".into());
        assert_eq!((task.run.as_ref(), task.step), (Some(run.id()), Some(1)));
        assert_eq!(task.attempt, 1);
        let progress = task.progress.as_ref().unwrap();
        assert_eq!((progress.done, progress.total), (37, Some(100)));
        assert_eq!(progress.text, "pages");
        assert!(presence.now.since(task.since) <= BEAT);
        consumer.stop().await.unwrap();
        assert_eq!(kser.announced_consumers().await.unwrap(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_crashed_is_silent_and_then_forgotten() {
    for kser in both().await {
        let consumer = kser.consumer(noting(&Diary::default())).spawn();
        sleep(BEAT).await;
        consumer.kill();
        sleep(Duration::from_secs(10)).await;
        assert!(!only(&kser).await.is_silent);
        sleep(PRESENCE_SILENT).await;
        assert!(only(&kser).await.is_silent);
        sleep(PRESENCE_KEPT).await;
        assert_eq!(kser.announced_consumers().await.unwrap(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_and_a_stopping_consumer_say_so() {
    for kser in both().await {
        let consumer = kser.consumer(reporting()).spawn();
        kser.producer().send(note("a")).await.unwrap();
        sleep(BEAT).await;
        consumer.handle().pause();
        sleep(BEAT).await;
        assert_eq!(only(&kser).await.presence.state, PresentState::Paused);
        consumer.handle().request_stop();
        sleep(BEAT).await;
        let stopping = only(&kser).await.presence;
        assert_eq!(stopping.state, PresentState::Stopping);
        assert_eq!(stopping.running.len(), 1);
        consumer.join().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_may_keep_to_itself() {
    for kser in both().await {
        let consumer = kser.consumer(noting(&Diary::default())).without_presence();
        let consumer = consumer.spawn();
        sleep(BEAT).await;
        assert_eq!(kser.announced_consumers().await.unwrap(), []);
        assert_eq!(consumer.handle().health().presence, None);
        consumer.stop().await.unwrap();
    }
}

/// Looking takes nothing: a consumer is not disturbed by readers, and readers do not show in the groups.
#[tokio::test(start_paused = true)]
async fn looking_at_consumers_takes_nothing() {
    for kser in both().await {
        let diary = Diary::default();
        let consumer = kser.consumer(noting(&diary)).spawn();
        sleep(BEAT).await;
        let groups = kser.inspect().unwrap().groups().await.unwrap();
        for n in 0..50 {
            kser.producer().send(note(&n.to_string())).await.unwrap();
            assert_eq!(only(&kser).await.presence.groups, ["kser.test"]);
        }
        sleep(BEAT).await;
        assert_eq!(diary.read().len(), 50);
        assert_eq!(kser.inspect().unwrap().groups().await.unwrap(), groups);
        consumer.stop().await.unwrap();
    }
}

/// A later life of an instance is announced, whatever the end of the one before does.
#[tokio::test(start_paused = true)]
async fn a_later_life_takes_the_place_of_the_one_before() {
    let kser = client(Mode::Stored).await;
    let named = || {
        kser.consumer(slow(&Diary::default()))
            .with_instance("desk-0")
    };
    let first = named().with_version("1").spawn();
    sleep(BEAT).await;
    let second = named().with_version("2").spawn();
    sleep(BEAT).await;
    assert!(matches!(first.join().await, Err(Error::Superseded { .. })));
    assert_eq!(only(&kser).await.presence.version.as_deref(), Some("2"));
    second.stop().await.unwrap();
}

/// A place of announcements that does not answer, or refuses.
#[derive(Debug)]
struct Broken {
    hangs: bool,
}

impl Broken {
    async fn fail<T>(&self) -> Result<T, Error> {
        match self.hangs {
            true => std::future::pending().await,
            false => Err(Error::Closed),
        }
    }
}

#[async_trait::async_trait]
impl PresenceStore for Broken {
    async fn announce(&self, _: &str, _: String) -> Result<(), Error> {
        self.fail().await
    }

    async fn withdraw(&self, _: &str) -> Result<(), Error> {
        self.fail().await
    }

    async fn list_consumers(&self, _: Duration) -> Result<Vec<Announced>, Error> {
        self.fail().await
    }
}

async fn error_of(handle: &ConsumerHandle) -> String {
    loop {
        let presence = handle.health().presence;
        if let Some(error) = presence.and_then(|presence| presence.error) {
            return error;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_announcement_that_fails_or_hangs_delays_no_delivery_and_no_stop() {
    for (hangs, text) in [(true, "announcing the consumer"), (false, "closed")] {
        let transport = MemoryTransport::new();
        let clock = transport.clock();
        let store = Deaf::new(MemoryStore::with_clock(clock)).with_presence(Broken { hangs });
        let builder = Client::builder(transport).clock(clock).store(store);
        let kser = builder.build().await.unwrap();
        let diary = Diary::default();
        let consumer = kser.consumer(noting(&diary)).spawn();
        let began = Instant::now();
        for n in 0..20 {
            let sent = kser
                .producer()
                .launch_steps("test.Game", vec![Step::new(note("a"))]);
            sent.await.unwrap().wait().await.unwrap();
            assert_eq!(diary.read().len(), n + 1);
        }
        assert!(
            began.elapsed() < Duration::from_millis(100),
            "{:?}",
            began.elapsed()
        );
        let error = error_of(&consumer.handle()).await;
        assert!(error.contains(text), "{error}");
        let began = Instant::now();
        consumer.stop().await.unwrap();
        assert!(
            began.elapsed() < Duration::from_millis(100),
            "{:?}",
            began.elapsed()
        );
    }
}

/// A topic keeps announcements as a store does.
async fn topic() -> PresenceHarness {
    let kser = client(Mode::AtLeastOnce).await;
    PresenceHarness::new(kser.presence_store().unwrap(), "test")
}

#[tokio::test(start_paused = true)]
async fn a_topic_lists_the_latest_announcement_of_each_consumer() {
    topic().await.lists_the_latest_of_each().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_lists_an_announcement_with_its_age() {
    topic().await.lists_ages().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_does_not_list_a_consumer_that_withdraws() {
    topic().await.withdraws().await;
}

#[tokio::test(start_paused = true)]
async fn many_consumers_announce_themselves_in_a_topic_at_once() {
    topic().await.lists_while_many_announce().await;
}
