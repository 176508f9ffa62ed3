//! Delayed records: the settings of their topics, and records that cannot be forwarded.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{self, member, receive, settled, topic, transport};
use kser_clock::SystemClock;
use kser_core::{Clock, Error, Interest, Record, Timestamp, Topic, TopicSpec, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use test_services::Cluster;

const STEPS: [(&str, u64); 5] = [
    (".delay.1s", 1),
    (".delay.10s", 10),
    (".delay.1m", 60),
    (".delay.10m", 600),
    (".delay.1h", 3600),
];

/// Makes an admin client of librdkafka.
fn client(address: &str) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    config.create().unwrap()
}

async fn settings(address: &str, topic: &Topic) -> BTreeMap<String, String> {
    let asked = [ResourceSpecifier::Topic(topic.as_str())];
    // A client that is dropped passes on no answer that comes later.
    let client = client(address);
    let found = client.describe_configs(&asked, &AdminOptions::new());
    let found = found.await.unwrap().remove(0).unwrap();
    let entries = found.entries.into_iter();
    entries
        .filter_map(|entry| Some((entry.name, entry.value?)))
        .collect()
}

/// Sets the limit of a topic, as an operator does.
async fn limit(topic: &Topic, bytes: &str) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic.as_str()));
    let change = [change.set("max.message.bytes", bytes)];
    let client = client(test_services::kafka());
    let changed = client.alter_configs(&change, &AdminOptions::new());
    changed.await.unwrap().remove(0).unwrap();
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn topic_beside(topic: &Topic, suffix: &str) -> Topic {
    topic.with_suffix(suffix).unwrap()
}

fn record(topic: &Topic, payload: Vec<u8>, wait: Duration) -> Record {
    Record::new(topic.clone(), Some(payload.into())).with_not_before(Some(now() + wait))
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn topics_beside_another_take_its_records_and_keep_them_long_enough() {
        let (transport, topic) = (
            transport().await,
            topic(&[("max.message.bytes", "2000000")]),
        );
        let letters = topic.with_suffix(".dlt").unwrap();
        let specs = [&topic, &letters].map(|topic| TopicSpec::work(topic.clone()));
        transport.ensure_topics(&specs).await.unwrap();
        let address = test_services::kafka();
        let number =
            |settings: &BTreeMap<String, String>, key| settings[key].parse::<u64>().unwrap();
        let of_letters = settings(address, &letters).await;
        assert!(
            number(&of_letters, "max.message.bytes") >= 2_006_000,
            "{of_letters:?}"
        );
        for (suffix, seconds) in STEPS {
            let found = settings(address, &topic.with_suffix(suffix).unwrap()).await;
            assert!(
                number(&found, "max.message.bytes") >= 2_000_500,
                "{found:?}"
            );
            let least = (2 * seconds + 24 * 3600) * 1000;
            assert!(number(&found, "retention.ms") >= least, "{found:?}");
            assert_eq!(found["message.timestamp.type"], "LogAppendTime");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_that_could_not_come_back_does_not_wait() {
        let (transport, topic) = (transport().await, topic(&[("max.message.bytes", "2000")]));
        let specs = [TopicSpec::work(topic.clone())];
        transport.ensure_topics(&specs).await.unwrap();
        // The largest record that the topic takes.
        let largest = Record::new(topic.clone(), Some(vec![b'x'; 1930].into()));
        transport.publish(vec![largest.clone()]).await.unwrap();
        let later = Some(now() + Duration::from_secs(12));
        let counted = largest.clone().with_header("kser-attempts", "1");
        let waiting = [counted, largest].map(|record| record.with_not_before(later));
        let not = transport.publish(waiting.into()).await.unwrap_err();
        let [
            (
                0,
                Error::TooLargeForTopic {
                    topic: name, limit, ..
                },
            ),
        ] = &not.failed[..]
        else {
            panic!("{not:?}")
        };
        assert_eq!((name.as_str(), *limit), (topic.as_str(), Some(2000)));
        // An existing topic with too short a retention.
        let old = topic_beside(&topic, ".old");
        let delay = topic_beside(&old, ".delay.10s");
        for (topic, retention) in [(&old, "604800000"), (&delay, "6000")] {
            let settings = [("retention.ms", retention)];
            common::admin().create_topic_with(topic.as_str(), 1, 1, &settings);
        }
        transport
            .ensure_topics(&[TopicSpec::work(old.clone())])
            .await
            .unwrap();
        let of_old = member(&transport, &old).await;
        let is_named = async {
            loop {
                let unfit = of_old.health().unfit;
                if let [named] = &unfit[..] {
                    return named.clone();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let named = tokio::time::timeout(Duration::from_secs(10), is_named);
        let named = named.await.unwrap();
        assert_eq!(named.topic, delay);
        assert!(named.reason.contains("retention.ms is 6000"), "{named:?}");
        assert!(named.reason.contains("message.timestamp.type"), "{named:?}");
        let waiting = record(&old, b"x".to_vec(), Duration::from_secs(40));
        let not = transport.publish(vec![waiting]).await.unwrap_err();
        let [(0, Error::NotKept { topic: name, .. })] = &not.failed[..] else {
            panic!("{not:?}")
        };
        assert_eq!(name.as_str(), delay.as_str());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn waiting_records_that_do_not_fit_one_batch_are_sent_on_each_alone() {
        let (transport, topic) = (transport().await, topic(&[("max.message.bytes", "10000")]));
        let specs = [TopicSpec::work(topic.clone())];
        transport.ensure_topics(&specs).await.unwrap();
        let mut member = member(&transport, &topic).await;
        let due = now() + Duration::from_millis(1500);
        let waiting = record(&topic, vec![b'x'; 500], Duration::ZERO).with_not_before(Some(due));
        transport.publish(vec![waiting; 200]).await.unwrap();
        assert_eq!(settled(&mut *member, 200).await.len(), 200);
        assert!(member.health().held.is_empty(), "{:?}", member.health());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_waiting_record_that_its_topic_does_not_take_is_named_and_holds_no_other() {
        let (transport, topic) = (transport().await, topic(&[("max.message.bytes", "100000")]));
        let specs = [TopicSpec::work(topic.clone())];
        transport.ensure_topics(&specs).await.unwrap();
        let mut member = member(&transport, &topic).await;
        let wait = Duration::from_millis(1500);
        loop {
            let mut waiting = vec![record(&topic, vec![b'x'; 500], wait); 20];
            waiting.insert(10, record(&topic, vec![b'y'; 20_000], wait));
            transport.publish(waiting).await.unwrap();
            limit(&topic, "10000").await;
            let received = settled(&mut *member, 20).await;
            if received.iter().all(|payload| payload.len() == 500) {
                break;
            }
            // The broker had the limit too late.
            settled(&mut *member, 1).await;
            limit(&topic, "100000").await;
        }
        // Forwarding is retried meanwhile.
        let held = async {
            loop {
                let held = member.health().held;
                if !held.is_empty() {
                    return held;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let held = tokio::time::timeout(Duration::from_secs(60), held)
            .await
            .unwrap();
        let [held] = &held[..] else {
            panic!("{held:?}")
        };
        assert_eq!(held.topic, topic.with_suffix(".delay.1s").unwrap());
        assert!(held.reason.contains("1 record"), "{held:?}");
        assert!(
            held.reason.contains("does not take a record of"),
            "{held:?}"
        );
        limit(&topic, "100000").await;
        assert_eq!(settled(&mut *member, 1).await[0].len(), 20_000);
        let none = async {
            while !member.health().held.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), none)
            .await
            .unwrap();
    }
);

/// A clock that is wrong by this many milliseconds.
#[derive(Debug)]
struct Wrong(i64);

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now().as_millis();
        Timestamp::from_millis(now.saturating_add_signed(self.0))
    }
}

const FIVE_MINUTES: i64 = 300_000;

/// Delays a record by three seconds, between members with these clocks.
async fn waits_between(producer: i64, consumer: i64) {
    let topic = topic(&[]);
    let config = |wrong| KafkaConfig::new(test_services::kafka()).with_clock(Wrong(wrong));
    let consumer = KafkaTransport::with_config(config(consumer)).await.unwrap();
    let specs = [TopicSpec::work(topic.clone())];
    consumer.ensure_topics(&specs).await.unwrap();
    let mut member = member(&consumer, &topic).await;
    let transport = KafkaTransport::with_config(config(producer)).await.unwrap();
    let began = tokio::time::Instant::now();
    let due = Wrong(producer).now() + Duration::from_secs(3);
    let waiting = Record::new(topic, None).with_not_before(Some(due));
    transport.publish(vec![waiting; 5]).await.unwrap();
    assert_eq!(settled(&mut *member, 5).await.len(), 5);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(2990), "{waited:?}");
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_wait_goes_by_no_clock_of_a_member() {
        tokio::join!(
            waits_between(FIVE_MINUTES, 0),
            waits_between(-FIVE_MINUTES, 0),
            waits_between(0, FIVE_MINUTES),
            waits_between(0, -FIVE_MINUTES),
        );
    }
);

test_services::cluster_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn waiting_records_outlive_the_retention_of_the_brokers() {
        let cluster = Cluster::builder()
            .with_property("log.retention.ms", "1000")
            .with_property("log.retention.check.interval.ms", "200")
            .with_property("log.initial.task.delay.ms", "100");
        let cluster = cluster.start();
        let config = KafkaConfig::new(cluster.bootstrap());
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let topic = Topic::new("t").unwrap();
        let specs = [TopicSpec::work(topic.clone())];
        transport.ensure_topics(&specs).await.unwrap();
        let waiting = record(&topic, b"x".to_vec(), Duration::from_secs(4));
        transport.publish(vec![waiting; 20]).await.unwrap();
        // As during a deploy.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let interest = Interest::group("g", vec![topic]);
        let mut member = transport.subscribe(interest).await.unwrap();
        assert_eq!(receive(&mut *member, 20).await.len(), 20);
    }
);
