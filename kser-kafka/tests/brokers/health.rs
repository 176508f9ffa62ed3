//! The health of a member, on real Kafka.

use std::time::Duration;

use kser_core::{Health, Interest, Record, Room, Subscription, Topic, TopicSpec, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};

/// Waits until the health is as expected.
async fn until(
    member: &mut dyn Subscription,
    what: &str,
    expected: impl Fn(&Health) -> bool + Send,
) {
    for _ in 0..900 {
        if expected(&member.health()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: {:?}", member.health());
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn health_tells_what_waits_and_for_how_long() {
        let url = format!("kafka://{}", test_services::kafka());
        let transport = KafkaTransport::connect(&url).await.unwrap();
        let topic = Topic::new(format!("health-{}", std::process::id())).unwrap();
        let specs = [TopicSpec::work(topic.clone()).with_partitions(3)];
        transport.ensure_topics(&specs).await.unwrap();
        let records = (0..10).map(|_| Record::new(topic.clone(), Some("work".into())));
        transport.publish(records.collect()).await.unwrap();

        let interest = Interest::group("health", vec![topic.clone()]);
        let mut member = transport.subscribe(interest).await.unwrap();
        let mut held = Vec::new();
        while held.len() < 10 {
            held.extend(member.receive(Room::records(10)).await.unwrap());
        }
        until(&mut *member, "ten wait", |health| health.lag == Some(10)).await;
        let health = member.health();
        assert_eq!(health.assigned.len(), 3, "{health:?}");
        assert!(health.oldest_waiting.is_some(), "{health:?}");
        assert!(health.missing.is_empty(), "{health:?}");
        // Three partitions of each of the five delay topics.
        until(&mut *member, "delays", |health| health.delays.len() == 15).await;
        let week = Duration::from_secs(7 * 24 * 3600);
        assert_eq!(health.retention, Some(week), "{health:?}");

        for delivery in held {
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        }
        until(&mut *member, "nothing waits", |health| {
            health.lag == Some(0) && health.oldest_waiting.is_none()
        })
        .await;
        member.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_partition_whose_commit_is_full_is_held_until_the_oldest_is_done() {
        let config = KafkaConfig::new(test_services::kafka());
        let config = config.with_commit_metadata(256).unwrap();
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let topic = Topic::new(format!("full-{}", std::process::id())).unwrap();
        let specs = [TopicSpec::work(topic.clone()).with_partitions(1)];
        transport.ensure_topics(&specs).await.unwrap();
        let records = (0..1000).map(|_| Record::new(topic.clone(), Some("work".into())));
        transport.publish(records.collect()).await.unwrap();
        let interest = Interest::group(topic.as_str(), vec![topic.clone()]);
        let mut member = transport.subscribe(interest).await.unwrap();
        let mut held = Vec::new();
        while held.len() < 1000 {
            held.extend(member.receive(Room::records(1000)).await.unwrap());
        }
        assert_eq!(member.health().held, []);
        // Every other record, so that the map of done offsets is large.
        let mut kept = Vec::new();
        for (n, delivery) in held.into_iter().enumerate() {
            match n % 2 {
                0 => kept.push(delivery),
                _ => drop(delivery.ticket.settle(Vec::new()).await.unwrap()),
            }
        }
        until(&mut *member, "it is held", |health| {
            let [held] = &health.held[..] else {
                return false;
            };
            held.topic == topic && held.partition == 0 && held.reason.contains("until offset 0")
        })
        .await;
        for delivery in kept {
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        }
        until(&mut *member, "it goes on", |health| health.held.is_empty()).await;
        member.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_member_without_work_hears_of_the_brokers_all_the_time() {
        let url = format!("kafka://{}", test_services::kafka());
        let transport = KafkaTransport::connect(&url).await.unwrap();
        let topic = Topic::new(format!("idle-{}", std::process::id())).unwrap();
        let specs = [TopicSpec::work(topic.clone()).with_partitions(1)];
        transport.ensure_topics(&specs).await.unwrap();
        let interest = Interest::group(topic.as_str(), vec![topic.clone()]);
        let mut member = transport.subscribe(interest).await.unwrap();
        until(&mut *member, "it is a member", |health| {
            !health.assigned.is_empty()
        })
        .await;
        for _ in 0..60 {
            let heard = member.health().last_heard;
            let limit = Duration::from_secs(4);
            assert!(heard.is_some_and(|heard| heard < limit), "{heard:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        member.close().await.unwrap();
    }
);
