//! `auto.offset.reset=error`, on real Kafka: the cases that end a member, and those that do not.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::{admin, member, publish, settled, told, topic, transport};
use kser_core::{Error, Record, Room, Subscription, Topic, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};

const LIMIT: Duration = Duration::from_secs(60);

async fn strict() -> KafkaTransport {
    let config = KafkaConfig::new(test_services::kafka())
        .with("auto.offset.reset", "error")
        .unwrap()
        .with("topic.metadata.refresh.interval.ms", "500")
        .unwrap()
        .with("queued.max.messages.kbytes", "1024")
        .unwrap();
    KafkaTransport::with_config(config).await.unwrap()
}

fn commit(topic: &Topic, offset: i64) {
    let group = format!("{topic}.group");
    admin().commit(&group, topic.as_str(), 0, offset, b"");
}

/// Receives until the member ends, and returns its error.
async fn end_of(member: &mut dyn Subscription) -> Error {
    let ended = tokio::time::timeout(LIMIT, async {
        loop {
            match member.receive(Room::records(1000)).await {
                Ok(deliveries) => {
                    for delivery in deliveries {
                        let _ = delivery.ticket.settle(Vec::new()).await;
                    }
                }
                Err(error) => return error,
            }
        }
    });
    ended.await.expect("the member ends")
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_start_without_an_offset_that_can_be_used_names_the_partition() {
        let (missing, deleted, beyond) = (topic(&[]), topic(&[]), topic(&[]));
        let (transport, strict) = (transport().await, strict().await);
        for topic in [&missing, &deleted, &beyond] {
            publish(&transport, topic, &["0", "1", "2", "3", "4"]).await;
        }
        commit(&deleted, 1);
        admin().delete_records(deleted.as_str(), 0, 3);
        commit(&beyond, 1000);
        for (topic, why) in [
            (
                &missing,
                "has no committed offset; its log begins at offset 0",
            ),
            (
                &deleted,
                "the 2 offsets after it are deleted; its log begins at offset 3",
            ),
            (
                &beyond,
                "the committed offset 1000, but its log ends at offset 5",
            ),
        ] {
            let mut member = member(&strict, topic).await;
            let error = end_of(&mut *member).await;
            let said = told(&error);
            let named = said.contains(&format!("{topic} [0]")) && said.contains(why);
            assert!(named, "{why}: {said}");
            assert!(said.contains("`auto.offset.reset` is `error`"), "{said}");
            assert!(!error.is_temporary(), "{said}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_partition_that_is_added_is_read_from_its_beginning() {
        let (topic, strict) = (topic(&[]), strict().await);
        commit(&topic, 0);
        let mut first = member(&strict, &topic).await;
        publish(&strict, &topic, &["old"]).await;
        assert_eq!(settled(&mut *first, 1).await, ["old"]);
        // While the member runs.
        admin().add_partitions(topic.as_str(), 2);
        admin().publish(topic.as_str(), 1, &[], b"added");
        assert_eq!(settled(&mut *first, 1).await, ["added"]);
        first.close().await.unwrap();
        // While no member runs.
        admin().add_partitions(topic.as_str(), 3);
        admin().publish(topic.as_str(), 2, &[], b"added later");
        let mut second = member(&strict, &topic).await;
        assert_eq!(settled(&mut *second, 1).await, ["added later"]);
        second.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_added_partition_of_which_records_are_deleted_is_refused() {
        let (topic, strict) = (topic(&[]), strict().await);
        commit(&topic, 0);
        admin().add_partitions(topic.as_str(), 2);
        for _ in 0..2 {
            admin().publish(topic.as_str(), 1, &[], b"added");
        }
        admin().delete_records(topic.as_str(), 1, 1);
        let mut member = member(&strict, &topic).await;
        let said = told(&end_of(&mut *member).await);
        let named = said.contains(&format!("{topic} [1]"));
        assert!(named && said.contains("begins at offset 1"), "{said}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn records_that_are_deleted_in_mid_run_end_it_by_name() {
        const ALL: i64 = 6000;
        let (topic, strict) = (topic(&[]), strict().await);
        commit(&topic, 0);
        let mut member = member(&strict, &topic).await;
        // More records are published than are prefetched.
        let record = Record::new(topic.clone(), Some(vec![b'x'; 2000].into()));
        for _ in 0..3 {
            strict.publish(vec![record.clone(); 2000]).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        admin().delete_records(topic.as_str(), 0, ALL - 10);
        let error = end_of(&mut *member).await;
        let said = told(&error);
        let named = said.contains(&format!("{topic} [0] continues at offset "));
        let begins = format!("its log begins at offset {}", ALL - 10);
        assert!(named && said.contains(&begins), "{said}");
        assert!(!error.is_temporary(), "{said}");
    }
);
