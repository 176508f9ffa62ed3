//! The bare client: what a task library on Kafka is compared with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

const WAIT: Duration = Duration::from_secs(30);

/// Counts deliveries per batch: the opaque value is the batch.
pub(crate) struct Batches(pub(crate) Vec<AtomicU64>);

impl ClientContext for Batches {}

impl ProducerContext for Batches {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: usize) {
        assert!(result.is_ok(), "delivery failed");
        self.0[batch].fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) fn producer(servers: &str, linger: &str) -> ThreadedProducer<Batches> {
    let context = Batches((0..4096).map(|_| AtomicU64::new(0)).collect());
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("enable.idempotence", "true")
        .set("linger.ms", linger)
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "1000000");
    config
        .create_with_context(context)
        .expect("a producer is made")
}

pub(crate) fn consumer(servers: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    let group = format!("raw-{}", uuid::Uuid::new_v4());
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "20");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create().expect("a consumer is made")
}

/// Sends, waiting a little whenever the local queue is full.
pub(crate) fn send(
    producer: &ThreadedProducer<Batches>,
    topic: &str,
    key: Option<&[u8]>,
    payload: &[u8],
    batch: usize,
) {
    let mut record: BaseRecord<'_, [u8], [u8], usize> =
        BaseRecord::with_opaque_to(topic, batch).payload(payload);
    record.key = key;
    while let Err((error, back)) = producer.send(record) {
        assert_eq!(
            error,
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
        );
        record = back;
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Polls, copies, and commits every 100 ms what is delivered: the most that an at-least-once loop can do.
pub(crate) fn copy(servers: &str, input: &str, output: &str, count: usize) -> f64 {
    let consumer = consumer(servers, &[]);
    let producer = producer(servers, "5");
    producer
        .client()
        .fetch_metadata(Some(output), WAIT)
        .expect("the topic is there");
    let done = &producer.context().0;
    let mut open: Vec<(usize, u64, BTreeMap<i32, i64>)> = Vec::new();
    let (mut taken, mut batch, mut sent, mut next) = (0usize, 0usize, 0u64, BTreeMap::new());
    consumer.subscribe(&[input]).expect("it subscribes");
    let (mut start, mut cut) = (Instant::now(), Instant::now());
    loop {
        let wait = if taken < count {
            Duration::from_millis(1)
        } else {
            Duration::ZERO
        };
        if let Some(message) = consumer.poll(wait) {
            let message = message.expect("a message");
            if taken == 0 {
                (start, cut) = (Instant::now(), Instant::now());
            }
            send(
                &producer,
                output,
                message.key(),
                message.payload().unwrap_or_default(),
                batch,
            );
            next.insert(message.partition(), message.offset() + 1);
            (taken, sent) = (taken + 1, sent + 1);
        }
        let is_end = taken == count;
        if sent > 0 && (taken % 64 == 0 || is_end) && (cut.elapsed().as_millis() >= 100 || is_end) {
            open.push((batch, sent, std::mem::take(&mut next)));
            (batch, sent, cut) = (batch + 1, 0, Instant::now());
        }
        let ready = open
            .iter()
            .take_while(|(batch, sent, _)| done[*batch].load(Ordering::SeqCst) == *sent);
        let ready = ready.count();
        if ready > 0 {
            let mut all = BTreeMap::new();
            open.drain(..ready)
                .for_each(|(_, _, next)| all.extend(next));
            let mut offsets = TopicPartitionList::new();
            for (partition, offset) in all {
                offsets
                    .add_partition_offset(input, partition, Offset::Offset(offset))
                    .expect("an offset");
            }
            consumer
                .commit(&offsets, CommitMode::Sync)
                .expect("it commits");
        }
        if is_end && open.is_empty() && sent == 0 {
            return count as f64 / start.elapsed().as_secs_f64();
        }
    }
}

/// From send to poll, one at a time with a pause between: a hop at low load.
pub(crate) fn hops(servers: &str, topic: &str, count: usize) -> Vec<Duration> {
    let consumer = consumer(servers, &[("fetch.wait.max.ms", "50")]);
    let producer = producer(servers, "0");
    consumer.subscribe(&[topic]).expect("it subscribes");
    while consumer.assignment().expect("it has one").count() == 0 {
        consumer.poll(Duration::from_millis(1));
    }
    let payload = vec![b'x'; 300];
    let mut hops = Vec::new();
    for number in 0..count + 50 {
        std::thread::sleep(Duration::from_millis(5));
        let began = Instant::now();
        send(&producer, topic, Some(&number.to_le_bytes()), &payload, 0);
        while consumer
            .poll(Duration::from_secs(1))
            .is_none_or(|message| message.is_err())
        {}
        hops.push(began.elapsed());
    }
    hops.split_off(50)
}

/// From begin to poll, one at a time with a pause between: a hop by a transaction of one record and one offset.
pub(crate) fn transactions(servers: &str, topic: &str, count: usize) -> Vec<Duration> {
    let consumer = consumer(
        servers,
        &[
            ("fetch.wait.max.ms", "50"),
            ("isolation.level", "read_committed"),
        ],
    );
    let context = Batches(vec![AtomicU64::new(0)]);
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("transactional.id", format!("raw-{}", uuid::Uuid::new_v4()))
        .set("linger.ms", "0")
        .set("retry.backoff.ms", "2");
    let producer: ThreadedProducer<Batches> = config
        .create_with_context(context)
        .expect("a producer is made");
    producer.init_transactions(WAIT).expect("it may");
    consumer.subscribe(&[topic]).expect("it subscribes");
    while consumer.assignment().expect("it has one").count() == 0 {
        consumer.poll(Duration::from_millis(1));
    }
    let payload = vec![b'x'; 300];
    let mut hops = Vec::new();
    for number in 0..count + 50 {
        std::thread::sleep(Duration::from_millis(5));
        let began = Instant::now();
        producer.begin_transaction().expect("it begins");
        send(&producer, topic, Some(&number.to_le_bytes()), &payload, 0);
        while producer.in_flight_count() > 0 {
            std::thread::sleep(Duration::from_micros(20));
        }
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset(topic, 0, Offset::Offset(1))
            .expect("an offset");
        let metadata = consumer.group_metadata().expect("it is a member");
        producer
            .send_offsets_to_transaction(&offsets, &metadata, WAIT)
            .expect("they are sent");
        producer.commit_transaction(WAIT).expect("it commits");
        while consumer
            .poll(Duration::from_secs(1))
            .is_none_or(|message| message.is_err())
        {}
        hops.push(began.elapsed());
    }
    hops.split_off(50)
}
