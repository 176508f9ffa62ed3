//! A group that is idle for longer than the brokers keep offsets.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use kser_core::{Interest, Record, Room, Subscription, Topic, TopicSpec, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use test_services::Cluster;

const LIMIT: Duration = Duration::from_secs(30);

async fn join(transport: &KafkaTransport, group: &str, topic: &Topic) -> Box<dyn Subscription> {
    let interest = Interest::group(group, vec![topic.clone()]);
    transport.subscribe(interest).await.unwrap()
}

fn committed(servers: &str, group: &str, topic: &Topic) -> Option<i64> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    let client: BaseConsumer = config.set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic.as_str(), 0);
    let found = client.committed_offsets(list, LIMIT).unwrap();
    match found.elements()[0].offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

test_services::cluster_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_group_that_idles_keeps_its_offsets() {
        let cluster = Cluster::builder()
            .with_property("offsets.retention.minutes", "1")
            .with_property("offsets.retention.check.interval.ms", "1000")
            .start();
        let servers = cluster.bootstrap();
        let config = KafkaConfig::new(&servers);
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let topic = Topic::new("t").unwrap();
        let specs = [TopicSpec::work(topic.clone()).with_partitions(1)];
        transport.ensure_topics(&specs).await.unwrap();
        let record = Record::new(topic.clone(), Some("done".into()));
        transport.publish(vec![record]).await.unwrap();
        let mut members = Vec::new();
        for group in ["idle", "left"] {
            let mut member = join(&transport, group, &topic).await;
            let delivery = member.receive(Room::records(1)).await.unwrap().remove(0);
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
            members.push(member);
        }
        members.pop().unwrap().close().await.unwrap();
        assert_eq!(committed(&servers, "left", &topic), Some(1));
        // A group without members loses its committed offsets: then the retention has ended.
        let over = || committed(&servers, "left", &topic).is_none();
        tokio::time::timeout(Duration::from_secs(150), async {
            while !over() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
        .await
        .unwrap();
        assert_eq!(committed(&servers, "idle", &topic), Some(1));
        for member in members {
            member.close().await.unwrap();
        }
        let mut next = join(&transport, "idle", &topic).await;
        let record = Record::new(topic.clone(), Some("new".into()));
        transport.publish(vec![record]).await.unwrap();
        let received = next.receive(Room::records(2)).await.unwrap();
        let payloads: Vec<_> = received
            .iter()
            .map(|one| one.record.payload.clone())
            .collect();
        assert_eq!(payloads, [Some("new".into())]);
        for delivery in received {
            let _ = delivery.ticket.release(None);
        }
    }
);
