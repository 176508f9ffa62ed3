//! What a real broker tells, and what only the bytes of the protocol can write.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use kser_librdkafka::{headers, leader_epoch, log_ends, partitions, set_leader_epoch, topic_ids};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use test_services::{Admin, kafka};

const LIMIT: Duration = Duration::from_secs(30);

/// Makes a topic of one partition that no other test has.
fn topic(name: &str) -> String {
    let name = format!("{name}.{}", std::process::id());
    Admin::new(kafka()).create_topic(&name, 1, 1);
    name
}

fn consumer(address: &str, group: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    config.set("enable.auto.commit", "false");
    config.set("group.id", group).create().unwrap()
}

/// Reads partition 0 of a topic from this offset on.
fn read_from(topic: &str, offset: i64) -> BaseConsumer {
    let consumer = consumer(kafka(), topic);
    let mut list = TopicPartitionList::new();
    let offset = Offset::Offset(offset);
    list.add_partition_offset(topic, 0, offset).unwrap();
    consumer.assign(&list).unwrap();
    consumer
}

fn next(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    consumer.poll(LIMIT).unwrap().unwrap()
}

test_services::kafka_tests!(
    #[test]
    fn headers_come_with_any_name_and_value() {
        let topic = topic("headers");
        let sent: [(&[u8], Option<&[u8]>); 5] = [
            (b"plain", Some(b"value")),
            (b"\xff\xfe", Some(b"no UTF-8")),
            (b"plain", Some(b"")),
            (b"null", None),
            (b"", Some(b"\x00\xff")),
        ];
        Admin::new(kafka()).publish(&topic, 0, &sent, b"with");
        Admin::new(kafka()).publish(&topic, 0, &[], b"without");
        let consumer = read_from(&topic, 0);
        let message = next(&consumer);
        // A second time, when the client has decoded them.
        for _ in 0..2 {
            let read = headers(&message);
            let read: Vec<_> = read.map(|header| (header.name, header.value)).collect();
            assert_eq!(read, sent);
        }
        assert_eq!(message.payload(), Some(&b"with"[..]));
        let message = next(&consumer);
        assert_eq!(message.payload(), Some(&b"without"[..]));
        assert!(headers(&message).next().is_none());
    }

    #[test]
    fn a_message_tells_the_leader_epoch_of_its_batch() {
        let topic = topic("epochs");
        Admin::new(kafka()).publish(&topic, 0, &[], b"x");
        let consumer = read_from(&topic, 0);
        // The first leader of a partition has the epoch 0, and this one has not changed.
        assert_eq!(leader_epoch(&next(&consumer)), Some(0));
    }

    #[test]
    fn a_leader_epoch_is_committed_and_read_back() {
        let topic = topic("committed");
        let consumer = consumer(kafka(), &topic);
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(1);
        list.add_partition_offset(&topic, 0, offset).unwrap();
        set_leader_epoch(&mut list, 0, 3);
        consumer.commit(&list, CommitMode::Sync).unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&topic, 0);
        let found = consumer.committed_offsets(asked, LIMIT).unwrap();
        let found = partitions(&found);
        assert_eq!((found[0].offset, found[0].leader_epoch), (offset, Some(3)));
    }

    #[test]
    fn the_end_of_a_log_is_behind_open_transactions() {
        let topic = topic("ends");
        Admin::new(kafka()).publish(&topic, 0, &[], b"x");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", kafka());
        config.set("transactional.id", &topic);
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(LIMIT).unwrap();
        producer.begin_transaction().unwrap();
        for _ in 0..2 {
            let record = BaseRecord::<(), str>::to(&topic).payload("open");
            producer.send(record).unwrap();
        }
        producer.flush(LIMIT).unwrap();
        let consumer = consumer(kafka(), &topic);
        let seen = consumer.fetch_watermarks(&topic, 0, LIMIT).unwrap();
        assert_eq!(seen, (0, 1), "committed records only");
        let asked = [(&*topic, 0), ("no.such.topic", 0)];
        let ends = log_ends(consumer.client(), &asked, LIMIT).unwrap();
        let of = |name: &str| ends.iter().find(|found| found.topic == name).unwrap();
        assert_eq!((of(&topic).partition, of(&topic).end), (0, Ok(3)));
        assert!(of("no.such.topic").end.is_err());
        producer.abort_transaction(LIMIT).unwrap();
    }

    #[test]
    fn a_topic_that_is_made_anew_has_another_id() {
        let (topic, stays) = (topic("anew"), topic("stays"));
        let consumer = consumer(kafka(), &topic);
        let asked = [&*topic, &*stays, "no.such.topic", &*topic, ""];
        let first = topic_ids(consumer.client(), None, &asked, LIMIT).unwrap();
        assert_eq!(first.len(), 3);
        let unknown = RDKafkaErrorCode::UnknownTopicOrPartition;
        assert_eq!(first["no.such.topic"], Err(unknown));
        assert_ne!(first[&topic], first[&stays]);
        let admin = Admin::new(kafka());
        admin.delete_topic(&topic);
        admin.create_topic(&topic, 1, 1);
        let second = topic_ids(consumer.client(), None, &asked, LIMIT).unwrap();
        assert_ne!(second[&topic].unwrap(), first[&topic].unwrap());
        assert_eq!(second[&stays].unwrap(), first[&stays].unwrap());
        let third = topic_ids(consumer.client(), Some(1), &asked, LIMIT).unwrap();
        assert_eq!(third, second);
        assert!(
            topic_ids(consumer.client(), None, &[], LIMIT)
                .unwrap()
                .is_empty()
        );
    }
);

#[test]
fn the_text_beside_an_offset_may_be_any_bytes() {
    // The brokers of Apache Kafka replace what is not UTF-8. Others may not.
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let address = cluster.bootstrap_servers();
    let text = b"\xff\xfe\x00\xc3";
    Admin::new(&address).commit("g", "t", 0, 1, text);
    let mut list = TopicPartitionList::new();
    list.add_partition("t", 0);
    list.add_partition("t", 7);
    let found = consumer(&address, "g")
        .committed_offsets(list, LIMIT)
        .unwrap();
    let found = partitions(&found);
    assert_eq!(
        (found[0].offset, found[0].metadata),
        (Offset::Offset(1), &text[..])
    );
    assert_eq!(found[0].error, None);
    assert_eq!(
        (found[1].offset, found[1].metadata),
        (Offset::Invalid, &[][..])
    );
    let unknown = RDKafkaErrorCode::UnknownTopicOrPartition;
    assert_eq!(found[1].error, Some(unknown));
}

#[test]
fn ids_are_waited_for_within_the_limit() {
    let mut config = ClientConfig::new();
    // Where no broker answers.
    let consumer: BaseConsumer = config
        .set("bootstrap.servers", "localhost:1")
        .create()
        .unwrap();
    let limit = Duration::from_millis(50);
    for _ in 0..3 {
        topic_ids(consumer.client(), None, &["t"], limit).unwrap_err();
    }
    // The requests that nobody waits for any more are still there, and the client goes without harm.
    drop(consumer);
}
