//! What the documents say about Kafka's own tools and about other clients.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{admin, publish, receive, topic};
use kser_core::{Interest, Record, Room, Topic, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, TopicPartitionList};

const LONG: Duration = Duration::from_secs(30);

/// Returns the text beside the offset that a group has committed for partition 0.
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
        // Longer than anything here is waited for.
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

/// Returns the time of this machine in milliseconds, as Kafka's timestamps are.
fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the brokers compare with theirs")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_millis()).unwrap()
}

/// Notes the partition of each key, and the errors of records that are refused.
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

/// Publishes 200 keys with a client of other settings, and returns their partitions.
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
    // Five of six, more or less.
    assert!((140..=190).contains(&elsewhere.count()));
}
