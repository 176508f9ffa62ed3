//! Records that are deleted before they are received, on real Kafka: all are reported.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

#[path = "brokers/common/mod.rs"]
mod common;

use std::sync::Mutex;
use std::time::Duration;

use kser_core::{Health, Record, Room, Subscription, Topic, Transport};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};

/// The topics and counts of logged errors.
static TOLD: Mutex<Vec<(String, u64)>> = Mutex::new(Vec::new());
/// The warnings of the client about offsets.
static RESETS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Collects the logged errors with a count, and the client's warnings.
struct Errors;

#[derive(Default)]
struct Fields {
    topic: String,
    partition: Option<i64>,
    count: Option<u64>,
    message: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "topic" {
            self.topic = value.to_owned();
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "partition" {
            self.partition = Some(value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "count" {
            self.count = Some(value);
        }
    }
}

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "kser_kafka" && *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if *event.metadata().level() == Level::WARN && fields.message.starts_with("OFFSET: ") {
            RESETS.lock().unwrap().push(fields.message.clone());
        }
        if let (Some(count), Some(0)) = (fields.count, fields.partition) {
            TOLD.lock().unwrap().push((fields.topic, count));
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

/// Commits an offset for the group of a topic: as an operator does, or as a member does with a leader epoch.
fn commit(topic: &Topic, offset: i64, epoch: Option<i32>) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", test_services::kafka());
    config.set("group.id", format!("{topic}.group"));
    let group: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic.as_str(), 0, Offset::Offset(offset))
        .unwrap();
    if let Some(epoch) = epoch {
        kser_librdkafka::set_leader_epoch(&mut list, 0, epoch);
    }
    group.commit(&list, CommitMode::Sync).unwrap();
}

async fn until(member: &mut dyn Subscription, expected: impl Fn(&Health) -> bool + Send) {
    for _ in 0..900 {
        if expected(&member.health()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", member.health());
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn records_that_are_deleted_unread_are_told_with_their_number() {
        tracing::subscriber::set_global_default(Errors).unwrap();
        let transport = common::transport().await;

        // Before the member starts.
        let early = common::topic(&[]);
        common::publish(&transport, &early, &["x"; 10]).await;
        commit(&early, 1, None);
        common::admin().delete_records(early.as_str(), 0, 6);
        let mut member = common::member(&transport, &early).await;
        assert_eq!(common::settled(&mut *member, 4).await.len(), 4);
        until(&mut *member, |health| health.deleted == 5).await;
        assert_eq!(member.health().resets, 0);
        member.close().await.unwrap();

        // While no record is received: more records are published than are prefetched.
        let late = common::topic(&[]);
        let mut member = common::member(&transport, &late).await;
        const ALL: i64 = 20_000;
        let record = Record::new(late.clone(), Some(vec![b'x'; 1000].into()));
        for _ in 0..4 {
            transport.publish(vec![record.clone(); 5000]).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        common::admin().delete_records(late.as_str(), 0, ALL - 100);
        let (mut received, mut last) = (0, 0);
        while last + 1 < ALL {
            let more =
                tokio::time::timeout(Duration::from_secs(30), member.receive(Room::records(1000)));
            for delivery in more.await.expect("records come").unwrap() {
                received += 1;
                last = delivery.origin.offset;
                let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
            }
        }
        until(&mut *member, |health| health.deleted > 0).await;
        let deleted = u64::try_from(ALL - received).unwrap();
        assert_eq!(member.health().deleted, deleted);
        member.close().await.unwrap();
        // The client logs it, too.
        let resets = RESETS.lock().unwrap().clone();
        let of_late = resets.iter().filter(|line| line.contains(late.as_str()));
        assert_eq!(of_late.count(), 1, "{resets:?}");

        // The log ends below the committed offset, which is reported before a record arrives. With a committed leader epoch the
        // partition continues where the log was truncated; otherwise at the start.
        let mut beyond = Vec::new();
        for (epoch, expected) in [(None, &["0", "1", "2", "new"][..]), (Some(0), &["new"])] {
            let topic = common::topic(&[]);
            common::publish(&transport, &topic, &["0", "1", "2"]).await;
            commit(&topic, 1000, epoch);
            let mut member = common::member(&transport, &topic).await;
            until(&mut *member, |health| health.resets == 1).await;
            let told = TOLD.lock().unwrap().last().cloned();
            assert_eq!(told, Some((topic.as_str().to_owned(), 997)));
            common::publish(&transport, &topic, &["new"]).await;
            let came = common::settled(&mut *member, expected.len()).await;
            assert_eq!(came, expected, "{epoch:?}");
            // Once is enough.
            assert_eq!(member.health().resets, 1);
            member.close().await.unwrap();
            beyond.push(topic);
        }

        let told = TOLD.lock().unwrap().clone();
        let expected = [
            (&early, 5),
            (&late, deleted),
            (&beyond[0], 997),
            (&beyond[1], 997),
        ];
        let expected = expected.map(|(topic, count)| (topic.as_str().to_owned(), count));
        // The last truncation is reported again when its offset is known.
        assert_eq!(told[..4], expected);
    }
);
