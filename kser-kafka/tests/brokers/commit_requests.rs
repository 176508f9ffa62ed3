//! Commit requests: the largest that the brokers take, and late answers.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::OnceLock;
use std::time::Duration;

use crate::common::{member, publish, receive, settled, text};
use kser_core::{Record, Room, Topic, Transport};
use kser_kafka::{Guarantee, KafkaConfig, KafkaTransport};
use rdkafka::mocking::MockCluster;
use test_services::{Admin, Cluster};
use tokio::time::timeout;

const PARTITIONS: u32 = 300;

/// The time after which no more records are expected.
const STILL: Duration = Duration::from_secs(3);

/// Starts a broker with small limits: 10,000 bytes in a commit request, and 600 in the metadata of one partition.
fn small() -> String {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| {
        let builder = Cluster::builder().with_property("message.max.bytes", "10000");
        builder
            .with_property("offset.metadata.max.bytes", "600")
            .start()
    });
    cluster.bootstrap()
}

async fn transport() -> KafkaTransport {
    let config = KafkaConfig::new(small());
    KafkaTransport::with_config(config).await.unwrap()
}

test_services::cluster_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn commits_of_many_partitions_are_split_until_the_broker_takes_them() {
        let (transport, topic) = (transport().await, Topic::new("many").unwrap());
        Admin::new(small()).create_topic(topic.as_str(), PARTITIONS, 1);
        let record = |n: u32| Record::new(topic.clone(), None).with_key(n.to_string());
        transport
            .publish((0..1000).map(record).collect())
            .await
            .unwrap();
        let mut first = member(&transport, &topic).await;
        settled(&mut *first, 1000).await;
        first.close().await.unwrap();
        // All records were committed.
        let mut second = member(&transport, &topic).await;
        transport.publish(vec![record(1000)]).await.unwrap();
        let received = receive(&mut *second, 1).await;
        assert_eq!(received[0].record.key.as_deref(), Some(&b"1000"[..]));
        let more = timeout(STILL, second.receive(Room::records(1)));
        assert!(more.await.is_err());
    }

    /// A window states many partitions at the start, and those of its deliveries.
    #[tokio::test(flavor = "multi_thread")]
    async fn offsets_of_many_partitions_are_split_until_a_transaction_takes_them() {
        let config = KafkaConfig::new(small()).with_delivery(Guarantee::ExactlyOnce);
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let topic = Topic::new("many.once").unwrap();
        Admin::new(small()).create_topic(topic.as_str(), PARTITIONS, 1);
        let record = |n: u32| Record::new(topic.clone(), None).with_key(n.to_string());
        transport
            .publish((0..1000).map(record).collect())
            .await
            .unwrap();
        let mut first = member(&transport, &topic).await;
        let mut settles = tokio::task::JoinSet::new();
        for delivery in receive(&mut *first, 1000).await {
            settles.spawn(async move { delivery.ticket.settle(Vec::new()).await.unwrap() });
        }
        assert!(
            settles
                .join_all()
                .await
                .iter()
                .all(|settled| !settled.is_lost())
        );
        first.close().await.unwrap();
        let mut second = member(&transport, &topic).await;
        transport.publish(vec![record(1000)]).await.unwrap();
        let received = receive(&mut *second, 1).await;
        assert_eq!(received[0].record.key.as_deref(), Some(&b"1000"[..]));
        let more = timeout(STILL, second.receive(Room::records(1)));
        assert!(more.await.is_err());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn texts_that_are_too_long_for_the_broker_are_shortened() {
        let (transport, topic) = (transport().await, Topic::new("gaps").unwrap());
        Admin::new(small()).create_topic(topic.as_str(), 1, 1);
        let names: Vec<_> = (0..10_000).map(|n| n.to_string()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        // In parts, since the small requests of this broker take a while and a publication has a limit.
        for part in names.chunks(1000) {
            publish(&transport, &topic, part).await;
        }
        let mut member = member(&transport, &topic).await;
        // The first record stays open, and some others, so that the metadata outgrows the limit of the broker.
        let (mut open, mut n_received) = (Vec::new(), 0);
        while let Ok(more) = timeout(STILL, member.receive(Room::records(100))).await {
            for delivery in more.unwrap() {
                n_received += 1;
                let n: usize = text(&delivery.record).parse().unwrap();
                match n % 11 % 4 {
                    0 => open.push(delivery.ticket),
                    _ => drop(delivery.ticket.settle(Vec::new()).await.unwrap()),
                }
            }
        }
        let health = member.health();
        let reason = &health.held[0].reason;
        assert!(reason.contains("out of order"), "{n_received}: {health:?}");
        for ticket in open {
            drop(ticket.settle(Vec::new()).await.unwrap());
        }
        settled(&mut *member, 10_000 - n_received).await;
        member.close().await.unwrap();
    }
);

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_read_back_late_counts() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let config = KafkaConfig::new(cluster.bootstrap_servers());
    let transport = KafkaTransport::with_config(config).await.unwrap();
    let topic = Topic::new("t").unwrap();
    let mut member = member(&transport, &topic).await;
    publish(&transport, &topic, &["first"]).await;
    assert_eq!(settled(&mut *member, 1).await, ["first"]);
    // More records than may start before the next commit is confirmed.
    publish(&transport, &topic, &["more"; 400]).await;
    // Each answer takes longer than the first timeout.
    let slow = Duration::from_secs(3);
    cluster.broker_round_trip_time(1, slow).unwrap();
    assert_eq!(settled(&mut *member, 400).await.len(), 400);
}
