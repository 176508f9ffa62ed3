//! A log that loses records that were done: its leader is lost, and a replica with fewer records becomes the leader.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::time::Duration;

use kser_core::{Delivery, Interest, Record, Room, Subscription, Topic, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use test_services::Cluster;

const LIMIT: Duration = Duration::from_secs(60);

async fn transport(cluster: &Cluster) -> KafkaTransport {
    let config = KafkaConfig::new(cluster.bootstrap());
    KafkaTransport::with_config(config).await.unwrap()
}

async fn member(transport: &KafkaTransport, topic: &Topic) -> Box<dyn Subscription> {
    let interest = Interest::group("g", vec![topic.clone()]);
    transport.subscribe(interest).await.unwrap()
}

/// Publishes records with a new producer, one after another, since some acknowledged records are lost.
async fn publish(cluster: &Cluster, topic: &Topic, name: &str, count: usize) {
    let record = |n| Record::new(topic.clone(), Some(format!("{name} {n}").into()));
    let records = (0..count).map(record).collect();
    transport(cluster).await.publish(records).await.unwrap();
}

fn text(payload: Option<&[u8]>) -> String {
    String::from_utf8_lossy(payload.unwrap_or_default()).into_owned()
}

async fn receive(member: &mut dyn Subscription, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < count {
        let room = Room::records(count - received.len());
        let more = tokio::time::timeout(LIMIT, member.receive(room)).await;
        received.extend(more.expect("records come").unwrap());
    }
    received
}

/// Reads the records of the log.
fn in_log(cluster: &Cluster, topic: &Topic) -> BTreeSet<String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap());
    let consumer: BaseConsumer = config.set("group.id", "log").create().unwrap();
    let ends = consumer.fetch_watermarks(topic.as_str(), 0, LIMIT).unwrap();
    let mut list = TopicPartitionList::new();
    let added = list.add_partition_offset(topic.as_str(), 0, Offset::Beginning);
    added.unwrap();
    consumer.assign(&list).unwrap();
    let mut texts = BTreeSet::new();
    while let Some(message) = consumer.poll(LIMIT) {
        // The client reports an error about the lost broker.
        let Ok(message) = message else { continue };
        texts.insert(text(message.payload()));
        if message.offset() + 1 == ends.1 {
            break;
        }
    }
    texts
}

/// Waits until the health counts the truncation of the log, once.
async fn until_told(member: &mut dyn Subscription) {
    for _ in 0..100 {
        if member.health().resets > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(member.health().resets, 1);
}

test_services::cluster_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn every_record_runs_that_is_in_the_log_after_an_unclean_election() {
        let cluster = Cluster::start(3);
        let admin = cluster.admin();
        let settings = [
            ("unclean.leader.election.enable", "true"),
            ("min.insync.replicas", "1"),
        ];
        // In one partition all records are done; in the other some are, out of order.
        let topics = ["all", "some"].map(|name| Topic::new(name).unwrap());
        for topic in &topics {
            admin.create_topic_with(topic.as_str(), 1, 2, &settings);
            publish(&cluster, topic, "kept", 20).await;
        }
        let mut ran = BTreeSet::new();
        for topic in &topics {
            let leader = admin.leader(topic.as_str(), 0);
            let follower = admin.replicas(topic.as_str(), 0);
            let follower = follower.into_iter().find(|id| *id != leader).unwrap();
            cluster.kill(follower);
            publish(&cluster, topic, "lost", 50).await;
            {
                let transport = transport(&cluster).await;
                let mut member = member(&transport, topic).await;
                let mut held = Vec::new();
                for (n, delivery) in receive(&mut *member, 70).await.into_iter().enumerate() {
                    if topic == &topics[1] && n % 10 == 5 {
                        held.push(delivery);
                        continue;
                    }
                    ran.insert(text(delivery.record.payload.as_deref()));
                    let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
                }
                // The last commit of the member.
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(held);
                drop(member);
            }
            cluster.kill(leader);
            cluster.restart(follower);
            publish(&cluster, topic, "new", 100).await;
            let transport = transport(&cluster).await;
            let mut member = member(&transport, topic).await;
            let expected = in_log(&cluster, topic);
            assert_eq!(expected.len(), 120, "{expected:?}");
            let mut missing: BTreeSet<_> = expected.difference(&ran).cloned().collect();
            let all = async {
                while !missing.is_empty() {
                    for delivery in member.receive(Room::records(100)).await.unwrap() {
                        missing.remove(&text(delivery.record.payload.as_deref()));
                        let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
                    }
                }
            };
            let waited = tokio::time::timeout(LIMIT / 2, all).await;
            assert!(waited.is_ok(), "{topic}: not run: {missing:?}");
            until_told(&mut *member).await;
            member.close().await.unwrap();
            cluster.restart(leader);
            cluster.wait_until_in_sync();
            ran.clear();
        }
    }
);
