//! The start offsets of partitions, with brokers that do not tell them at first.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common;
use kser_core::{Interest, Record, Room, Subscription, Topic, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::task::JoinSet;
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(30);

const RECORDS: usize = 1000;

/// The number of partitions whose offsets a transaction holds.
const PARTITIONS: u32 = 4;

/// Reads the records of a partition whose committed offset the brokers refuse to tell at first. Returns the received records,
/// as soon as all have arrived, or none has for a while.
#[expect(
    clippy::future_not_send,
    reason = "the cluster stays on the thread of its test"
)]
async fn received(refusals: &[RDKafkaRespErr]) -> BTreeSet<i64> {
    let cluster = MockCluster::new(1).unwrap();
    // Dead letters have no delay topics, whose member would get some of the refusals.
    let topic = Topic::new("t.dlt").unwrap();
    cluster.create_topic(topic.as_str(), 1, 1).unwrap();
    let config = KafkaConfig::new(cluster.bootstrap_servers());
    let transport = KafkaTransport::with_config(config).await.unwrap();
    let records = vec![Record::new(topic.clone(), Some("work".into())); RECORDS / 10];
    transport.publish(records.clone()).await.unwrap();
    cluster.request_errors(RDKafkaApiKey::OffsetFetch, refusals);
    let interest = Interest::group("g", vec![topic]);
    let mut member = transport.subscribe(interest).await.unwrap();
    let publishing = tokio::spawn(async move {
        for _ in 0..9 {
            tokio::time::sleep(LONG / 100).await;
            transport.publish(records.clone()).await.unwrap();
        }
    });
    let mut came = BTreeSet::new();
    let mut limit = LONG;
    while came.len() < RECORDS {
        let more = tokio::time::timeout(limit, member.receive(Room::records(1000)));
        let Ok(more) = more.await else {
            break;
        };
        for delivery in more.unwrap() {
            assert!(came.insert(delivery.origin.offset));
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        }
        limit = LONG / 6;
    }
    publishing.await.unwrap();
    came
}

#[tokio::test(flavor = "multi_thread")]
async fn no_record_is_left_out_while_the_committed_offset_cannot_be_read() {
    use RDKafkaRespErr::{RD_KAFKA_RESP_ERR_NO_ERROR as YES, RD_KAFKA_RESP_ERR_UNKNOWN as NO};
    let came = received(&[NO, YES, NO, NO, YES, NO, NO, NO]).await;
    assert_eq!(came.len(), RECORDS);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_although_the_coordinator_had_moved() {
    use RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR as MOVED;
    let came = received(&[MOVED, MOVED]).await;
    assert_eq!(came.len(), RECORDS);
}

/// Lets a transaction hold the offsets of a group, so that members cannot read them until the transaction ends.
fn hold_offsets(topic: &Topic, group: &str) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", test_services::kafka());
    let consumer: BaseConsumer = config.clone().set("group.id", group).create().unwrap();
    config.set("transactional.id", topic.as_str());
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(LONG).unwrap();
    producer.begin_transaction().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let partition = partition.cast_signed();
        list.add_partition_offset(topic.as_str(), partition, Offset::Offset(0))
            .unwrap();
    }
    // A member that never joined may do so while the group is empty.
    let member = consumer.group_metadata().unwrap();
    producer
        .send_offsets_to_transaction(&list, &member, LONG)
        .unwrap();
    producer
}

/// The records that members of a group have received, by partition and offset.
type Came = Arc<Mutex<BTreeSet<(i32, i64)>>>;

/// Settles the records of a member until all members together have this many, or none has received more for a while.
async fn settle_all(
    mut member: Box<dyn Subscription>,
    came: Came,
    count: usize,
) -> Box<dyn Subscription> {
    let (mut last, mut changed) = (0, Instant::now());
    while last < count && changed.elapsed() < LONG / 2 {
        let more = tokio::time::timeout(LONG / 100, member.receive(Room::records(1000)));
        for delivery in more.await.unwrap_or(Ok(Vec::new())).unwrap() {
            let origin = delivery.origin;
            let place = (origin.partition, origin.offset);
            came.lock().unwrap().insert(place);
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        }
        let now = came.lock().unwrap().len();
        if now > last {
            (last, changed) = (now, Instant::now());
        }
    }
    member
}

/// Reads partitions with this setting, while a transaction holds their committed offsets for a while. All partitions get
/// records all the time.
async fn start_late(setting: Option<(&str, &str)>) {
    let mut config = KafkaConfig::new(test_services::kafka());
    if let Some((key, value)) = setting {
        config = config.with(key, value).unwrap();
    }
    let transport = KafkaTransport::with_config(config).await.unwrap();
    let topic = common::topic(&[]);
    common::admin().add_partitions(topic.as_str(), PARTITIONS);
    let producer = hold_offsets(&topic, &format!("{topic}.group"));
    let publish = |n: i64| {
        for partition in 0..PARTITIONS {
            let payload = n.to_string();
            common::admin().publish(topic.as_str(), partition, &[], payload.as_bytes());
        }
    };
    (0..10).for_each(publish);
    let mut member = common::member(&transport, &topic).await;
    for _ in 0..100 {
        if !member.health().held.is_empty() {
            break;
        }
        tokio::time::sleep(LONG / 300).await;
    }
    assert_eq!(
        member.health().held.len(),
        PARTITIONS as usize,
        "{setting:?}"
    );
    let aborting = std::thread::spawn(move || producer.abort_transaction(LONG).unwrap());
    (10..20).for_each(publish);
    let count = 20 * PARTITIONS as usize;
    let mut came = places(&mut *member, count).await;
    aborting.join().unwrap();
    came.sort_unstable();
    let partitions = 0..i32::try_from(PARTITIONS).unwrap();
    let expected = partitions.flat_map(|partition| (0..20).map(move |n| (partition, n)));
    let expected: Vec<_> = expected.collect();
    assert_eq!(came, expected, "{setting:?}");
    let more = tokio::time::timeout(LONG / 30, member.receive(Room::records(10)));
    assert!(more.await.is_err(), "{setting:?}");
    member.close().await.unwrap();
}

/// Settles this many records, and returns their partitions and offsets.
async fn places(member: &mut dyn Subscription, count: usize) -> Vec<(i32, i64)> {
    let mut places = Vec::new();
    for delivery in common::receive(member, count).await {
        places.push((delivery.origin.partition, delivery.origin.offset));
        let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
    }
    places
}

/// The number of rounds of a test that depends on timing. Defaults to 1; `KSER_ROUNDS` sets it.
fn rounds() -> usize {
    let rounds = std::env::var("KSER_ROUNDS").ok();
    rounds.map_or(1, |rounds| rounds.parse().unwrap())
}

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn partitions_start_late_in_each_protocol_of_groups() {
        start_late(None).await;
        start_late(Some(("partition.assignment.strategy", "range"))).await;
        start_late(Some(("group.protocol", "consumer"))).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_records_come_although_a_transaction_holds_the_committed_offsets_while_members_join()
     {
        let transport = common::transport().await;
        for round in 0..rounds() {
            let topic = common::topic(&[]);
            common::admin().add_partitions(topic.as_str(), PARTITIONS);
            let records = vec![Record::new(topic.clone(), Some("work".into())); 5 * RECORDS];
            // A client that knew the topic before it had all of its partitions would fill the first.
            let publishing = common::transport().await;
            publishing.publish(records).await.unwrap();
            let producer = hold_offsets(&topic, &format!("{topic}.group"));
            let ending = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(4));
                producer.abort_transaction(LONG).unwrap();
            });
            let (came, mut members) = (Came::default(), JoinSet::new());
            for _ in 0..3 {
                let member = common::member(&transport, &topic).await;
                members.spawn(settle_all(member, Arc::clone(&came), 5 * RECORDS));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let members = members.join_all().await;
            ending.join().unwrap();
            let came = came.lock().unwrap().len();
            assert_eq!(came, 5 * RECORDS, "round {round}");
            for member in members {
                // The group may be rebalancing for the member that has left before, and refuse the final commit.
                let _ = member.close().await;
            }
        }
    }
);
