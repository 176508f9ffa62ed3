//! Commits that the brokers refuse for good.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kser_core::{Interest, Record, Room, Topic, TopicSpec, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use test_services::Cluster;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};

static REFUSALS: AtomicUsize = AtomicUsize::new(0);
static WARNINGS: AtomicUsize = AtomicUsize::new(0);

/// Counts what the thread that commits says.
struct Counting;

impl Subscriber for Counting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "kser_kafka"
    }

    fn event(&self, event: &Event<'_>) {
        if event
            .metadata()
            .file()
            .unwrap_or_default()
            .ends_with("commits.rs")
        {
            let count = match *event.metadata().level() {
                Level::WARN => &WARNINGS,
                Level::DEBUG => &REFUSALS,
                _ => return,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
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
        let specs = [TopicSpec::work(topic.clone()).with_partitions(1)];
        transport.ensure_topics(&specs).await.unwrap();
        let record = Record::new(topic.clone(), None);
        transport.publish(vec![record]).await.unwrap();
        let interest = Interest::group("g", vec![topic]);
        let mut member = transport.subscribe(interest).await.unwrap();
        // It may not begin, since its beginning cannot be noted.
        let limit = Duration::from_secs(10);
        let received = tokio::time::timeout(limit, member.receive(Room::records(1)));
        assert!(received.await.is_err());
        assert!(WARNINGS.load(Ordering::Relaxed) > 0);
        let refusals = REFUSALS.load(Ordering::Relaxed);
        assert!((1..=110).contains(&refusals), "{refusals}");
    }
);
