//! Tasks that run while their partition is revoked, on real Kafka.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common;
use kser_core::{Interest, Subscription, Topic, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};

const LIMIT: Duration = Duration::from_secs(30);

/// Connects with members that are removed from their group after two seconds without a poll, and wait five seconds for tasks.
async fn transport() -> KafkaTransport {
    let mut config = KafkaConfig::new(test_services::kafka()).with_revoke_grace(LIMIT / 6);
    for (key, value) in [
        ("partition.assignment.strategy", "range"),
        ("session.timeout.ms", "2000"),
        ("max.poll.interval.ms", "2000"),
    ] {
        config = config.with(key, value).unwrap();
    }
    KafkaTransport::with_config(config).await.unwrap()
}

async fn join(transport: &KafkaTransport, topic: &Topic, name: &str) -> Box<dyn Subscription> {
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

    #[tokio::test(flavor = "multi_thread")]
    async fn a_named_member_that_is_thrown_out_in_a_rebalance_goes_on() {
        let topic = common::topic(&[]);
        let (first, second) = (transport().await, transport().await);
        let mut member = join(&first, &topic, "one").await;
        common::publish(&first, &topic, &["work"]).await;
        // The task runs for longer than the limit of polls.
        let held = common::receive(&mut *member, 1).await;
        let mut other = join(&second, &topic, "two").await;
        tokio::time::sleep(LIMIT / 4).await;
        drop(held);
        // The record is redelivered to the owner of the partition, and both members go on.
        let settle = async {
            tokio::select! {
                came = common::settled(&mut *member, 1) => came,
                came = common::settled(&mut *other, 1) => came,
            }
        };
        let came = tokio::time::timeout(LIMIT, settle).await;
        assert_eq!(came.expect("the record comes"), ["work"]);
        for member in [member, other] {
            member.close().await.unwrap();
        }
    }
);
