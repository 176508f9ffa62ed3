use kser_core::{Interest, Subscription, Transport};
use rdkafka::mocking::MockCluster;

use super::*;
use crate::broker_log::BrokerErrors;
use crate::progress::{MetadataBudget, WriterId};
use crate::{KafkaConfig, KafkaTransport};

fn assignment(committed: Option<i64>, text: &str) -> Assignment {
    let mut assignment = Assignment::new(1, Topic::new("t").unwrap(), 0, None);
    let writer = WriterId::new();
    let progress = PartitionProgress::take_over(committed, text, writer, MetadataBudget::default());
    assignment.progress = Some(progress);
    assignment
}

#[test]
fn the_lag_is_counted_from_the_first_record_that_is_not_done() {
    let unread = Assignment::new(1, Topic::new("t").unwrap(), 0, None);
    assert_eq!(unread.lag(None, 9), None);
    let mut assignment = assignment(Some(2), "");
    assert_eq!(assignment.lag(None, 9), Some(7));
    assignment.progress.as_mut().unwrap().receive(5);
    assert_eq!(assignment.lag(None, 9), Some(4));
}

#[test]
fn the_lag_does_not_count_what_is_done_out_of_order() {
    let mut owner = assignment(Some(10), "");
    let progress = owner.progress.as_mut().unwrap();
    for offset in 10..20 {
        progress.receive(offset);
    }
    for offset in [12, 13, 14, 18] {
        progress.mark_done(offset);
    }
    assert_eq!(owner.lag(None, 30), Some(16));
    let commit = owner.progress.as_mut().unwrap().commit().unwrap();
    // Another member takes the partition over and has received no record yet.
    let mut next = assignment(Some(commit.offset), &commit.metadata);
    assert_eq!(next.lag(None, 30), Some(16));
    let progress = next.progress.as_mut().unwrap();
    for offset in 10..20 {
        progress.receive(offset);
    }
    assert_eq!(next.lag(None, 30), Some(16));
}

#[test]
fn the_lag_does_not_count_what_is_no_record() {
    let mut assignment = assignment(Some(0), "");
    let progress = assignment.progress.as_mut().unwrap();
    progress.receive(0);
    // The log ends with the marker of a transaction, up to which the client has fetched.
    assert_eq!(assignment.lag(None, 2), Some(2));
    assert_eq!(assignment.lag(Some(2), 2), Some(1));
    assignment.progress.as_mut().unwrap().mark_done(0);
    assert_eq!(assignment.lag(Some(2), 2), Some(0));
    // The end of the log was read before.
    assert_eq!(assignment.lag(Some(2), 1), Some(0));
}

/// Waits until this many partitions are held, and returns them.
async fn held(member: &mut dyn Subscription, count: usize) -> Vec<HeldPartition> {
    for _ in 0..300 {
        let held = member.health().held;
        if held.len() == count {
            return held;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", member.health());
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_whose_records_cannot_be_read_are_held_with_the_reason() {
    let cluster = MockCluster::new(1).unwrap();
    let topic = Topic::new("t").unwrap();
    let delays = crate::delay::topics(&topic).map(|(delay, _)| delay);
    for topic in delays.chain([topic.clone()]) {
        cluster.create_topic(topic.as_str(), 2, 1).unwrap();
    }
    // One partition of a topic, and one of its delay topic.
    let admin = test_services::Admin::new(cluster.bootstrap_servers());
    admin.publish_damaged("t", 0);
    admin.publish_damaged("t.delay.1m", 1);
    let mut config = KafkaConfig::new(cluster.bootstrap_servers());
    config.stuck_after = Duration::from_secs(2);
    let transport = KafkaTransport::with_config(config).await.unwrap();
    let interest = Interest::group("g", vec![topic]);
    let mut member = transport.subscribe(interest).await.unwrap();
    let mut held = held(&mut *member, 2).await;
    held.sort_by_key(|held| held.partition);
    for (held, (topic, partition)) in held.iter().zip([("t", 0), ("t.delay.1m", 1)]) {
        assert_eq!((held.topic.as_str(), held.partition), (topic, partition));
        let reason = &held.reason;
        assert!(reason.contains("has more from offset 0 on"), "{reason}");
        assert!(reason.contains("Decompression"), "{reason}");
    }
    member.close().await.unwrap();
}

#[test]
fn a_client_that_hears_no_broker_gets_its_bootstrap_servers_again() {
    let config = KafkaConfig::new("localhost:1");
    let context = MemberContext::new(
        crate::member::tests::member(),
        Arc::default(),
        BrokerErrors::default(),
        "g".to_owned(),
        &config,
    );
    let settings = config.consumer("g", None, 1);
    let queries = Arc::new(BrokerQueries::without_brokers());
    let mut monitor = HealthMonitor::new(&settings, queries, Vec::new(), LOOK);
    monitor.look(&context);
    let rebootstrap = &context.broker_errors.rebootstrap;
    assert_eq!(rebootstrap.next_start(), None);
    monitor.answered_at = monotonic().checked_sub(SILENCE).unwrap();
    monitor.look(&context);
    assert!(rebootstrap.next_start().is_some());
}
