//! The statements of the documents about Kafka's own tools and other clients.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{self, admin, publish, receive, topic};
use kser_core::{Interest, Record, Room, Topic, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, TopicPartitionList};

const LONG: Duration = Duration::from_secs(60);

/// Returns the metadata that a group has committed for partition 0.
fn text_of(group: &str, topic: &Topic) -> String {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", test_services::kafka());
    let client: BaseConsumer = config.set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(topic.as_str(), 0);
    let found = client.committed_offsets(list, LONG).unwrap();
    found.elements()[0].metadata().to_owned()
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_tool_that_resets_offsets_wipes_the_text_beside_them() {
        let topic = topic(&[]);
        let group = format!("{topic}.group");
        let transport = common::transport().await;
        let mut member = common::member(&transport, &topic).await;
        publish(&transport, &topic, &["a", "b"]).await;
        let mut held = receive(&mut *member, 2).await;
        let _ = held.remove(1).ticket.settle(Vec::new()).await.unwrap();
        let _ = held.remove(0).ticket.release(None);
        member.close().await.unwrap();
        assert_ne!(text_of(&group, &topic), "");
        let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        let reset = [
            "--reset-offsets",
            "--to-current",
            "--execute",
            "--all-topics",
            "--group",
            &group,
        ];
        admin().tool(class, &reset).unwrap();
        assert_eq!(text_of(&group, &topic), "");
    }

    /// Commits with the request of the Java Admin's `alterConsumerGroupOffsets`.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_offset_that_is_altered_with_its_text_keeps_what_is_done() {
        let topic = topic(&[]);
        let group = format!("{topic}.group");
        let transport = common::transport().await;
        let mut member = common::member(&transport, &topic).await;
        publish(&transport, &topic, &["a", "b", "c"]).await;
        let mut held = receive(&mut *member, 3).await;
        let _ = held.remove(1).ticket.settle(Vec::new()).await.unwrap();
        for delivery in held {
            let _ = delivery.ticket.release(None);
        }
        member.close().await.unwrap();
        let text = text_of(&group, &topic);
        assert_ne!(text, "");
        admin().commit(&group, topic.as_str(), 0, 0, text.as_bytes());
        let mut member = common::member(&transport, &topic).await;
        publish(&transport, &topic, &["d"]).await;
        assert_eq!(common::settled(&mut *member, 3).await, ["a", "c", "d"]);
        member.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_text_of_parallel_consumer_says_nothing() {
        let topic = topic(&[]);
        let transport = common::transport().await;
        publish(&transport, &topic, &["a", "b", "c"]).await;
        // Of three records from the offset on, the last two are done, as a bit set (`BitSetV2`).
        let text = b"bwAAAAMGAA==";
        admin().commit(&format!("{topic}.group"), topic.as_str(), 0, 0, text);
        let mut member = common::member(&transport, &topic).await;
        assert_eq!(common::settled(&mut *member, 3).await, ["a", "b", "c"]);
        member.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_is_in_another_partition_once_some_are_added() {
        const KEYS: usize = 20;
        let topic = topic(&[]);
        let keyed = |text: &'static str| {
            let record = move |topic: &Topic, number| {
                Record::new(topic.clone(), Some(text.into())).with_key(key(number))
            };
            let topic = topic.clone();
            (0..KEYS)
                .map(move |number| record(&topic, number))
                .collect()
        };
        let transport = common::transport().await;
        transport.publish(keyed("before")).await.unwrap();
        admin().add_partitions(topic.as_str(), 6);
        // An existing client would detect the new partitions later.
        let transport = common::transport().await;
        transport.publish(keyed("after")).await.unwrap();
        let mut member = common::member(&transport, &topic).await;
        let received = receive(&mut *member, 2 * KEYS).await;
        let of = |text| {
            let mut partitions = BTreeMap::new();
            for delivery in &received {
                if common::text(&delivery.record) == text {
                    let key = delivery.record.key.clone().unwrap();
                    partitions.insert(key, delivery.origin.partition);
                }
            }
            partitions
        };
        let (before, after) = (of("before"), of("after"));
        assert_eq!((before.len(), after.len()), (KEYS, KEYS));
        assert!(before.values().all(|partition| *partition == 0));
        // Kafka keeps the order within a partition only, and these may belong to two members. About five of six.
        let moved = after.values().filter(|partition| **partition != 0);
        assert!((10..=KEYS).contains(&moved.count()), "{after:?}");
        for delivery in received {
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        }
        member.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_topic_that_is_deleted_under_the_new_protocol_is_missing_without_an_error() {
        let topic = topic(&[]);
        let config = KafkaConfig::new(test_services::kafka());
        let config = config.with("group.protocol", "consumer").unwrap();
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let mut member = common::member(&transport, &topic).await;
        publish(&transport, &topic, &["a"]).await;
        assert_eq!(common::settled(&mut *member, 1).await, ["a"]);
        admin().delete_topic(topic.as_str());
        for _ in 0..300 {
            let limit = Duration::from_millis(100);
            let received = tokio::time::timeout(limit, member.receive(Room::records(1))).await;
            assert!(received.is_err(), "{received:?}");
            if member.health().missing == [topic.clone()] {
                return;
            }
        }
        panic!("{:?}", member.health());
    }

    #[test]
    fn a_heartbeat_cannot_be_shorter_than_the_brokers_allow() {
        let class = "org.apache.kafka.tools.ConfigCommand";
        let alter = |place: [&str; 4], key: &str, ms: u32| {
            let setting = format!("{key}={ms}");
            let what = ["--alter", "--add-config", &setting];
            admin().tool(class, &[&place[..], &what[..]].concat())
        };
        let group = format!("{}.group", topic(&[]));
        let group = ["--entity-type", "groups", "--entity-name", &group];
        let brokers = ["--entity-type", "brokers", "--entity-name", "1"];
        let (of_group, of_brokers) = (
            "consumer.heartbeat.interval.ms",
            "group.consumer.min.heartbeat.interval.ms",
        );
        // The least that the brokers of tests allow.
        alter(group, of_group, 100).unwrap();
        let refused = alter(group, of_group, 99).unwrap_err();
        assert!(refused.contains("in the range 100 to"), "{refused}");
        let refused = alter(brokers, of_brokers, 50).unwrap_err();
        assert!(refused.contains("dynamically"), "{refused}");
        let all = [&["--describe", "--all"], &brokers[..]].concat();
        let all = admin().tool(class, &all).unwrap();
        for key in [of_brokers, &format!("group.{of_group}")] {
            let default = format!("DEFAULT_CONFIG:{key}=5000");
            let line = all.lines().find(|line| line.contains(key));
            assert!(all.contains(&default), "{line:?}");
        }
    }

    #[test]
    fn a_clock_more_than_an_hour_ahead_cannot_publish() {
        let topic = topic(&[]);
        let noting = Noting::default();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", test_services::kafka());
        let producer: BaseProducer<Noting> = config.create_with_context(noting.clone()).unwrap();
        let now = now();
        for minutes in [50, 70] {
            let key = format!("{minutes}");
            let record = BaseRecord::to(topic.as_str()).key(&*key).payload("x");
            let record = record.timestamp(now + minutes * 60_000);
            producer.send(record).unwrap();
            producer.flush(LONG).unwrap();
        }
        let reports = noting.0.lock().unwrap();
        let published: Vec<_> = reports.partitions.keys().collect();
        assert_eq!(published, [b"50"]);
        let refused = KafkaError::MessageProduction(RDKafkaErrorCode::InvalidTimestamp);
        assert_eq!(reports.errors, [refused]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_named_member_that_has_stopped_is_removed_by_a_tool() {
        let topic = topic(&[]);
        let group = format!("{topic}.group");
        let config = KafkaConfig::new(test_services::kafka());
        // Longer than all timeouts here.
        let config = config.with("session.timeout.ms", "120000").unwrap();
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let interest = Interest::group(&*group, vec![topic.clone()]);
        let named = interest.clone().with_instance(Some("me".to_owned()));
        let mut member = transport.subscribe(named).await.unwrap();
        publish(&transport, &topic, &["a"]).await;
        let delivery = receive(&mut *member, 1).await.remove(0);
        let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        member.close().await.unwrap();
        let class = "org.apache.kafka.tools.StreamsResetter";
        admin()
            .tool(class, &["--application-id", &group, "--force"])
            .unwrap();
        let mut next = transport.subscribe(interest).await.unwrap();
        publish(&transport, &topic, &["b"]).await;
        assert_eq!(common::settled(&mut *next, 1).await, ["b"]);
        next.close().await.unwrap();
    }
);

/// Returns the time of this machine in milliseconds, like Kafka's timestamps.
fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the brokers compare with theirs")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

/// Collects the partition of each key, and the errors of refused records.
#[derive(Clone, Default)]
struct Noting(Arc<Mutex<Reports>>);

#[derive(Default)]
struct Reports {
    partitions: BTreeMap<Vec<u8>, i32>,
    errors: Vec<KafkaError>,
}

impl ClientContext for Noting {}

impl ProducerContext for Noting {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        let mut reports = self.0.lock().unwrap();
        match report {
            Ok(message) => {
                let key = message.key().unwrap().to_vec();
                reports.partitions.insert(key, message.partition());
            }
            Err((error, _)) => reports.errors.push(error.clone()),
        }
    }
}

fn key(number: usize) -> String {
    format!("customer-{number}")
}

/// Publishes 200 keys with a client with other settings, and returns their partitions.
fn partitions(servers: &str, settings: &[(&str, &str)]) -> BTreeMap<Vec<u8>, i32> {
    let noting = Noting::default();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers);
    for (key, value) in settings {
        config.set(*key, *value);
    }
    let producer: BaseProducer<Noting> = config.create_with_context(noting.clone()).unwrap();
    for number in 0..200 {
        let key = key(number);
        let record = BaseRecord::to("other").key(&*key).payload("x");
        producer.send(record).unwrap();
    }
    producer.flush(LONG).unwrap();
    let mut reports = noting.0.lock().unwrap();
    assert_eq!(reports.errors, []);
    std::mem::take(&mut reports.partitions)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_where_murmur2_puts_it_and_not_where_librdkafka_does() {
    let cluster = MockCluster::new(1).unwrap();
    for topic in ["ours", "other"] {
        cluster.create_topic(topic, 6, 1).unwrap();
    }
    let servers = cluster.bootstrap_servers();
    let transport = KafkaTransport::with_config(KafkaConfig::new(&*servers))
        .await
        .unwrap();
    let ours = Topic::new("ours").unwrap();
    let record = |number| Record::new(ours.clone(), Some("x".into())).with_key(key(number));
    transport
        .publish((0..200).map(record).collect())
        .await
        .unwrap();
    let interest = Interest::group("g", vec![ours.clone()]);
    let mut member = transport.subscribe(interest).await.unwrap();
    let mut found = BTreeMap::new();
    while found.len() < 200 {
        let received = tokio::time::timeout(LONG, member.receive(Room::records(200)));
        for delivery in received.await.unwrap().unwrap() {
            let key = delivery.record.key.clone().unwrap().to_vec();
            found.insert(key, delivery.origin.partition);
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        }
    }
    assert_eq!(
        found,
        partitions(&servers, &[("partitioner", "murmur2_random")])
    );
    let default = partitions(&servers, &[]);
    let elsewhere = found
        .iter()
        .filter(|(key, partition)| default[*key] != **partition);
    // About five of six.
    assert!((140..=190).contains(&elsewhere.count()));
}
