//! Commits that the brokers always refuse.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kser_core::{Interest, Record, Room, Topic, TopicSpec, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use test_services::Cluster;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};

static REFUSALS: AtomicUsize = AtomicUsize::new(0);
static WARNINGS: AtomicUsize = AtomicUsize::new(0);
static GOODBYES: AtomicUsize = AtomicUsize::new(0);

/// Counts the log lines of failed commits.
struct Counting;

impl Subscriber for Counting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "kser_kafka"
    }

    fn event(&self, event: &Event<'_>) {
        let file = event.metadata().file().unwrap_or_default();
        let file = file.rsplit('/').next();
        let count = match (file, *event.metadata().level()) {
            (Some("schedule.rs"), Level::WARN) => &WARNINGS,
            (Some("schedule.rs"), Level::DEBUG) => &REFUSALS,
            (Some("rebalance.rs"), Level::WARN)
                if event.metadata().fields().field("why").is_some() =>
            {
                &GOODBYES
            }
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

test_services::cluster_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn commits_that_are_refused_are_named_and_do_not_flood_the_brokers() {
        tracing::subscriber::set_global_default(Counting).unwrap();
        let cluster = Cluster::builder().with_property("offset.metadata.max.bytes", "8");
        let cluster = cluster.start();
        let config = KafkaConfig::new(cluster.bootstrap());
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let topic = Topic::new("t").unwrap();
        let specs = [TopicSpec::work(topic.clone()).with_partitions(2)];
        transport.ensure_topics(&specs).await.unwrap();
        let record = |key: u8| Record::new(topic.clone(), None).with_key(vec![key]);
        transport
            .publish((0..20).map(record).collect())
            .await
            .unwrap();
        let interest = Interest::group("g", vec![topic]);
        let began = tokio::time::Instant::now();
        let mut member = transport.subscribe(interest.clone()).await.unwrap();
        // The record may not start, since its start cannot be committed.
        let limit = Duration::from_secs(10);
        let received = tokio::time::timeout(limit, member.receive(Room::records(1)));
        assert!(received.await.is_err());
        let held = member.health().held;
        // The partitions of its delay topics are held, too, since their start offsets cannot be committed.
        let of_topic = held.iter().filter(|held| held.topic.as_str() == "t");
        assert_eq!(of_topic.count(), 2, "{held:?}");
        for held in &held {
            assert!(held.reason.contains("wait for a commit"), "{held:?}");
        }
        assert!(WARNINGS.load(Ordering::Relaxed) > 0);
        let refusals = REFUSALS.load(Ordering::Relaxed) as u64;
        // Ten in a second for each of the two members: of the topic, and of its delay topics.
        let most = 20 * (began.elapsed().as_secs() + 2);
        assert!((1..=most).contains(&refusals), "{refusals}");
        // Another member joins and gets a partition: the final commit is refused, too.
        let said = GOODBYES.load(Ordering::Relaxed);
        let _other = transport.subscribe(interest).await.unwrap();
        let waited = tokio::time::timeout(limit * 6, async {
            while GOODBYES.load(Ordering::Relaxed) == said {
                tokio::time::sleep(limit / 100).await;
            }
        });
        waited.await.unwrap();
    }
);
