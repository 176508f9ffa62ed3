//! A member that is removed from its group while a partition is revoked from it, on real Kafka.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

use std::time::Duration;

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

test_services::kafka_tests!(
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
