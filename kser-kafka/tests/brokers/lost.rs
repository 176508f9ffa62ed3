//! Tasks that run while their partition is revoked, on real Kafka.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common;
use kser_core::{Interest, Subscription, Topic, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};

const LIMIT: Duration = Duration::from_secs(30);

/// Joins a group that removes a member four seconds after its last poll, or heartbeat.
async fn join(topic: &Topic, name: &str) -> Box<dyn Subscription> {
    let mut config = KafkaConfig::new(test_services::kafka()).with_revoke_grace(LIMIT / 5);
    for (key, value) in [
        ("partition.assignment.strategy", "range"),
        ("session.timeout.ms", "4000"),
        ("max.poll.interval.ms", "4000"),
    ] {
        config = config.with(key, value).unwrap();
    }
    let transport = KafkaTransport::with_config(config).await.unwrap();
    let interest = Interest::group(format!("{topic}.group"), vec![topic.clone()]);
    transport
        .subscribe(interest.with_instance(Some(name.to_owned())))
        .await
        .unwrap()
}

/// Waits until the member has this many partitions, and returns them.
async fn assigned(member: &mut dyn Subscription, count: usize) -> BTreeSet<i32> {
    for _ in 0..300 {
        let assigned = member.health().assigned;
        if assigned.len() == count {
            return assigned
                .into_iter()
                .map(|(_, partition)| partition)
                .collect();
        }
        tokio::time::sleep(LIMIT / 300).await;
    }
    panic!("{:?}", member.health());
}

test_services::kafka_tests!(
    /// An eager rebalance revokes all partitions, and most of them return to their member: there the tasks go on.
    #[tokio::test(flavor = "multi_thread")]
    async fn tasks_that_outlast_an_eager_rebalance_run_again_only_where_it_moves_them() {
        const PARTITIONS: u32 = 8;
        let name = format!("eager.{}", std::process::id());
        common::admin().create_topic_with(&name, PARTITIONS, 1, &[]);
        let publish = |text: &str| {
            for partition in 0..PARTITIONS {
                common::admin().publish(&name, partition, &[], text.as_bytes());
            }
        };
        let topic = Topic::new(name.clone()).unwrap();
        let mut config = KafkaConfig::new(test_services::kafka()).with_revoke_grace(LIMIT / 100);
        for (key, value) in [
            ("partition.assignment.strategy", "roundrobin"),
            ("heartbeat.interval.ms", "300"),
        ] {
            config = config.with(key, value).unwrap();
        }
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let mut first = common::member(&transport, &topic).await;
        publish("long");
        let held = common::receive(&mut *first, 8).await;
        let mut second = common::member(&transport, &topic).await;
        let moved = assigned(&mut *second, 4).await;
        let kept = assigned(&mut *first, 4).await;
        let again = common::receive(&mut *second, 4).await;
        let partitions = again.iter().map(|again| again.origin.partition);
        assert_eq!(partitions.collect::<BTreeSet<_>>(), moved);
        for delivery in held {
            let partition = delivery.origin.partition;
            let settled = delivery.ticket.settle(Vec::new()).await.unwrap();
            assert_eq!(settled.is_lost(), !kept.contains(&partition), "{partition}");
        }
        // The first leaves: the tasks of the second go on.
        first.close().await.unwrap();
        assigned(&mut *second, 8).await;
        for delivery in again {
            assert!(!delivery.ticket.settle(Vec::new()).await.unwrap().is_lost());
        }
        publish("next");
        assert_eq!(common::settled(&mut *second, 8).await, ["next"; 8]);
        second.close().await.unwrap();
    }

    /// The commit of a member that its group has removed would end it, since another member may have its name.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_named_member_that_waits_for_its_tasks_is_not_removed_from_its_group() {
        let name = format!("named.{}", std::process::id());
        common::admin().create_topic_with(&name, 2, 1, &[]);
        let topic = Topic::new(name.clone()).unwrap();
        let mut first = join(&topic, "one").await;
        common::admin().publish(&name, 0, &[], b"long");
        // The task outlasts the rebalance.
        let _held = common::receive(&mut *first, 1).await;
        let mut second = join(&topic, "two").await;
        let to_second = assigned(&mut *second, 1).await;
        let to_first = assigned(&mut *first, 1).await;
        assert_ne!(to_first, to_second);
        for partition in 0..2 {
            common::admin().publish(&name, partition, &[], b"next");
        }
        for mut member in [first, second] {
            let mut came = common::receive(&mut *member, 1).await.remove(0);
            // The task is redelivered if its partition has moved.
            if common::text(&came.record) == "long" {
                came = common::receive(&mut *member, 1).await.remove(0);
            }
            assert_eq!(common::text(&came.record), "next");
        }
    }
);
