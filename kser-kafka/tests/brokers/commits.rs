//! Commits of other programs, and wrong settings.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{admin, member, publish, receive, settled, text, told, topic, transport};
use kser_core::{Room, Topic, TopicSpec, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const LIMIT: Duration = Duration::from_secs(30);

/// Makes a client that reads and commits the offsets of the group of a topic, as tools do.
fn group(topic: &Topic) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", test_services::kafka());
    config
        .set("group.id", format!("{topic}.group"))
        .create()
        .unwrap()
}

fn partition(topic: &Topic) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic.as_str(), 0);
    list
}

/// Commits as an operator does, once the brokers have noticed that the last member has left.
fn commit(topic: &Topic, offset: i64, metadata: &str) {
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(topic.as_str(), 0);
    element.set_offset(Offset::Offset(offset)).unwrap();
    element.set_metadata(metadata);
    let group = group(topic);
    let mut tries = 0;
    while let Err(error) = group.commit(&list, CommitMode::Sync) {
        let has_members = Some(RDKafkaErrorCode::UnknownMemberId);
        assert_eq!(error.rdkafka_error_code(), has_members, "{error}");
        assert!(tries < 100, "the group still has members");
        tries += 1;
        std::thread::sleep(LIMIT / 300);
    }
}

fn committed(topic: &Topic) -> (Offset, String) {
    let list = group(topic)
        .committed_offsets(partition(topic), LIMIT)
        .unwrap();
    let elements = list.elements();
    (elements[0].offset(), elements[0].metadata().to_owned())
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn metadata_that_is_foreign_damaged_or_of_another_offset_is_ignored() {
        let transport = transport().await;
        let all = ["0", "1", "2", "3", "4"];
        let source = topic(&[]);
        publish(&transport, &source, &all).await;
        let mut first = member(&transport, &source).await;
        let held = receive(&mut *first, 5).await;
        let mut kept = Vec::new();
        for delivery in held {
            match text(&delivery.record).as_str() {
                "0" | "3" => kept.push(delivery),
                _ => assert!(!delivery.ticket.settle(Vec::new()).await.unwrap().is_lost()),
            }
        }
        // The records that are not done are committed soon, and a crash keeps them.
        let mut found = committed(&source);
        for _ in 0..100 {
            if found.0 == Offset::Offset(0) && found.1.len() > 10 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            found = committed(&source);
        }
        drop(first);
        let valid = found.1;
        let cut = &valid[..valid.len() / 2];
        let changed = valid.replace(&valid[3..4], "?");
        for metadata in ["", "host-7 at noon", "\u{1F980}", &valid, cut, &changed] {
            let topic = topic(&[]);
            publish(&transport, &topic, &all).await;
            commit(&topic, 2, metadata);
            let mut member = member(&transport, &topic).await;
            assert_eq!(
                settled(&mut *member, 3).await,
                ["2", "3", "4"],
                "{metadata:?}"
            );
            member.close().await.unwrap();
            assert_eq!(committed(&topic).0, Offset::Offset(5), "{metadata:?}");
        }
        drop(kept);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn metadata_that_is_no_utf_8_is_ignored() {
        let (transport, topic) = (transport().await, topic(&[]));
        publish(&transport, &topic, &["0", "1", "2"]).await;
        let (group, text) = (format!("{topic}.group"), b"\xff\xfe\x00\xc3");
        admin().commit(&group, topic.as_str(), 0, 1, text);
        let mut member = member(&transport, &topic).await;
        assert_eq!(settled(&mut *member, 2).await, ["1", "2"]);
        member.close().await.unwrap();
        assert_eq!(committed(&topic).0, Offset::Offset(3));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_offset_that_is_not_there_begins_where_the_log_does() {
        let (transport, topic) = (transport().await, topic(&[]));
        publish(&transport, &topic, &["0", "1", "2"]).await;
        commit(&topic, 1, "");
        admin().delete_records(topic.as_str(), 0, 2);
        let mut first = member(&transport, &topic).await;
        assert_eq!(settled(&mut *first, 1).await, ["2"]);
        first.close().await.unwrap();
        // Beyond the end of the log, as after a topic was recreated.
        commit(&topic, 1000, "");
        let mut second = member(&transport, &topic).await;
        publish(&transport, &topic, &["3"]).await;
        assert_eq!(settled(&mut *second, 2).await, ["2", "3"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_member_that_has_closed_is_out_of_its_group() {
        let (transport, topic) = (transport().await, topic(&[]));
        for round in 0..20 {
            publish(&transport, &topic, &["work"]).await;
            let mut member = member(&transport, &topic).await;
            assert_eq!(settled(&mut *member, 1).await, ["work"], "{round}");
            member.close().await.unwrap();
            let began = tokio::time::Instant::now();
            commit(&topic, i64::from(round) + 1, "");
            let took = began.elapsed();
            assert!(took < LIMIT / 2, "round {round}: it took {took:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_group_with_offsets_starts_where_a_missing_one_is_an_error() {
        let topic = topic(&[]);
        publish(&transport().await, &topic, &["0", "1"]).await;
        // As an operator does, without the group of delayed records.
        commit(&topic, 1, "");
        let config = KafkaConfig::new(test_services::kafka());
        let config = config.with("auto.offset.reset", "error").unwrap();
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let specs = [TopicSpec::work(topic.clone())];
        transport.ensure_topics(&specs).await.unwrap();
        let mut member = member(&transport, &topic).await;
        assert_eq!(settled(&mut *member, 1).await, ["1"]);
        // By now a member of that group would have failed to start.
        let more = tokio::time::timeout(Duration::from_secs(3), member.receive(Room::records(1)));
        assert!(more.await.is_err());
        member.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn settings_that_are_wrong_are_named_at_the_connect() {
        for (key, value) in [
            ("session.timeout.ms", "soon"),
            ("compression.type", "zip"),
            ("partition.assignment.strategy", "mine"),
        ] {
            let config = KafkaConfig::new(test_services::kafka())
                .with(key, value)
                .unwrap();
            let error = KafkaTransport::with_config(config).await.unwrap_err();
            let said = told(&error);
            assert!(!error.is_temporary() && said.contains(key), "{said}");
        }
    }

    #[test]
    fn settings_that_are_ours_say_why() {
        for key in [
            "group.id",
            "enable.auto.commit",
            "acks",
            "isolation.level",
            "transactional.id",
            "delivery.report.only.error",
            "enabled_events",
            "offset.store.method",
            "check.crcs",
        ] {
            let error = KafkaConfig::new("localhost:9092")
                .with(key, "x")
                .unwrap_err();
            let said = error.to_string();
            assert!(said.contains(key) && said.len() > key.len() + 40, "{said}");
        }
    }
);
