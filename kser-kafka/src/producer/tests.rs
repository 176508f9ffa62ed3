use kser_clock::SystemClock;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;

use super::*;

#[tokio::test]
async fn a_publish_that_is_dropped_gives_its_room_back() {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", "localhost:1");
    config.set("queue.buffering.max.messages", "1");
    let time = Time::new(Arc::new(SystemClock::new()));
    let publisher = Publisher::new(config, BrokerErrors::default(), time).unwrap();
    let record = Record::new(Topic::new("t").unwrap(), None);
    let cost = record.size() + OVERHEAD;
    let records = [record.clone(), record];
    // The second record finds the queue of the client full, and waits.
    tokio::select! {
        biased;
        _ = publisher.publish(&records) => {}
        () = std::future::ready(()) => {}
    }
    let room = publisher.room.available_permits();
    assert_eq!(ON_THE_WAY as usize - room, cost);
}

#[tokio::test]
async fn records_of_one_key_keep_the_order_of_their_calls_when_the_queue_is_full() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let mut config = crate::KafkaConfig::new(cluster.bootstrap_servers()).producer();
    config.set("queue.buffering.max.messages", "3");
    let time = Time::new(Arc::new(SystemClock::new()));
    let publisher = Arc::new(Publisher::new(config, BrokerErrors::default(), time).unwrap());
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..100_u8 {
        let publisher = Arc::clone(&publisher);
        let record = Record::new(Topic::new("t").unwrap(), Some(vec![n].into()));
        // The calls are first polled in this order.
        calls.spawn(async move { publisher.publish(&[record.with_key("k")]).await });
    }
    while let Some(published) = calls.join_next().await {
        published.unwrap().unwrap();
    }
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    config.set("group.id", "g");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset("t", 0, rdkafka::Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    let mut read = Vec::new();
    while read.len() < 100 {
        let message = consumer.poll(Duration::from_secs(10)).unwrap().unwrap();
        read.extend_from_slice(message.payload().unwrap());
    }
    assert_eq!(read, (0..100).collect::<Vec<u8>>());
}

/// Makes a publisher to a mock cluster with a topic `t`.
fn publisher(
    settings: &[(&str, &str)],
) -> (
    MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    Publisher,
) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let mut config = crate::KafkaConfig::new(cluster.bootstrap_servers()).producer();
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let time = Time::new(Arc::new(SystemClock::new()));
    let publisher = Publisher::new(config, BrokerErrors::default(), time).unwrap();
    (cluster, publisher)
}

/// Sends records without waiting, and returns the positions of those that failed.
async fn send_all(publisher: &Publisher, records: Vec<Record>) -> Vec<usize> {
    let room = publisher.room_for(&records).unwrap();
    let (tell, told) = oneshot::channel();
    publisher.send_all(records, room, move |_, failed| {
        let positions = failed.into_iter().map(|(index, _)| index);
        let _ = tell.send(positions.collect());
    });
    told.await.unwrap()
}

fn records_of(sizes: &[usize]) -> Vec<Record> {
    let payloads = sizes.iter().map(|size| Some(vec![b'x'; *size].into()));
    payloads
        .map(|payload| Record::new(Topic::new("t").unwrap(), payload).with_key("k"))
        .collect()
}

#[tokio::test]
async fn a_record_that_is_refused_is_named_and_the_others_are_published() {
    let (_cluster, publisher) = publisher(&[("message.max.bytes", "2000")]);
    assert_eq!(send_all(&publisher, records_of(&[1, 3000, 1])).await, [1]);
    assert_eq!(publisher.room.available_permits(), ON_THE_WAY as usize);
}

#[tokio::test]
async fn a_record_does_not_overtake_one_that_the_queue_of_the_client_did_not_take() {
    let (_cluster, publisher) = publisher(&[("queue.buffering.max.messages", "1")]);
    assert_eq!(send_all(&publisher, records_of(&[1, 1, 1])).await, [1, 2]);
    assert_eq!(publisher.room.available_permits(), ON_THE_WAY as usize);
}

#[tokio::test]
async fn nothing_is_sent_without_room_or_before_calls_that_wait() {
    let (_cluster, publisher) = publisher(&[]);
    let turn = publisher.turns.next().await;
    assert!(publisher.room_for(&records_of(&[1])).is_none());
    drop(turn);
    let rest = records_of(&[ON_THE_WAY as usize - OVERHEAD]);
    let room = publisher.room_for(&rest);
    assert!(room.is_some());
    assert!(publisher.room_for(&records_of(&[1])).is_none());
    drop(room);
    assert!(publisher.room_for(&records_of(&[1])).is_some());
}

#[tokio::test]
async fn a_client_whose_records_time_out_gets_its_bootstrap_servers_again() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let silent = Duration::from_secs(60);
    cluster.broker_round_trip_time(1, silent).unwrap();
    let mut config = crate::KafkaConfig::new(cluster.bootstrap_servers()).producer();
    config.set("message.timeout.ms", "1000");
    let time = Time::new(Arc::new(SystemClock::new()));
    let publisher = Publisher::new(config, BrokerErrors::default(), time).unwrap();
    assert!(!publisher.producer().context().starts_again());
    let record = Record::new(Topic::new("t").unwrap(), None);
    assert!(publisher.publish(&[record]).await.is_err());
    assert!(publisher.producer().context().starts_again());
}
