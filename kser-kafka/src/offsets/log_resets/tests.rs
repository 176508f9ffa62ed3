use std::sync::Arc;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::*;
use crate::KafkaConfig;
use crate::broker_log::BrokerErrors;
use crate::channel::PollChannel;

const LIMIT: Duration = Duration::from_secs(10);

/// Publishes records to partition 0 of the topic `t`.
fn publish(config: &KafkaConfig, count: usize) {
    let producer: BaseProducer = config.producer().create().unwrap();
    for _ in 0..count {
        let record = BaseRecord::<(), str>::to("t").partition(0);
        producer.send(record.payload("x")).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
}

/// Makes a client that has nothing yet, and a member that is to read partition 0 of the topic `t` from this offset on.
fn client(config: &KafkaConfig, offset: i64, epoch: Option<i32>) -> BaseConsumer<MemberContext> {
    let mut member = crate::member::tests::member();
    let position = &mut member.assignment_of("t", 0).unwrap().position;
    position.start(offset);
    position.is_fetched = true;
    (position.rewind, position.epoch) = (Some(offset), epoch);
    let (channel, broker_errors) = (Arc::new(PollChannel::default()), BrokerErrors::default());
    let context = MemberContext::new(member, channel, broker_errors, "g".to_owned(), config);
    let settings = config.consumer("g", None, 1);
    settings.create_with_context(context).unwrap()
}

fn assign(consumer: &BaseConsumer<MemberContext>) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
}

fn rewind(consumer: &BaseConsumer<MemberContext>) -> Option<i64> {
    let mut member = consumer.context().member();
    member.assignment_of("t", 0).unwrap().position.rewind
}

/// Polls until a message comes, and returns its offset.
fn next(consumer: &BaseConsumer<MemberContext>) -> i64 {
    let until = monotonic() + LIMIT;
    while monotonic() < until {
        if let Some(Ok(message)) = consumer.poll(LIMIT / 100) {
            return message.offset();
        }
    }
    panic!("no message comes");
}

#[test]
fn a_seek_that_fails_is_made_again_once_the_client_can() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 2, 1).unwrap();
    let config = KafkaConfig::new(cluster.bootstrap_servers());
    publish(&config, 5);
    let consumer = client(&config, 3, None);
    let mut resets = LogResets::new();
    // The client does not have the partition.
    resets.seek(&consumer, consumer.context());
    assert_eq!(rewind(&consumer), Some(3));
    assign(&consumer);
    // The seek is not retried at once.
    resets.seek(&consumer, consumer.context());
    assert_eq!(rewind(&consumer), Some(3));
    let until = monotonic() + LIMIT;
    while rewind(&consumer).is_some() && monotonic() < until {
        resets.seek(&consumer, consumer.context());
        std::thread::sleep(LIMIT / 1000);
    }
    assert_eq!(rewind(&consumer), None);
    assert_eq!(next(&consumer), 3);
}

#[test]
fn a_seek_with_an_epoch_goes_to_where_the_log_was_cut() {
    let cluster = MockCluster::new(2).unwrap();
    cluster.create_topic("t", 2, 2).unwrap();
    let config = KafkaConfig::new(cluster.bootstrap_servers());
    // The first leader has epoch 0, and has more records than the second.
    publish(&config, 20);
    cluster.partition_leader("t", 0, Some(2)).unwrap();
    publish(&config, 20);
    let consumer = client(&config, 35, Some(0));
    assign(&consumer);
    assert!(seek(consumer.context(), &consumer));
    assert_eq!(rewind(&consumer), None);
    assert_eq!(next(&consumer), 20);
    // The error of the client, if it may not seek there, names the offset alone.
    let client_error =
        "Partition log truncation detected at offset 35 (leader epoch 0): broker end offset is 20";
    let told = out_of_range(&consumer, consumer.context(), Some(client_error));
    assert_eq!(
        told,
        "t [0] continues at offset 35, but its log was truncated below"
    );
    let told = out_of_range(&consumer, consumer.context(), None);
    assert_eq!(told, "one of t [0]");
}

#[test]
fn a_position_outside_of_the_log_is_named() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 2, 1).unwrap();
    let config = KafkaConfig::new(cluster.bootstrap_servers());
    publish(&config, 5);
    let consumer = client(&config, 9, None);
    let told = out_of_range(&consumer, consumer.context(), None);
    assert_eq!(
        told,
        "t [0] continues at offset 9, but its log ends at offset 5"
    );
}
