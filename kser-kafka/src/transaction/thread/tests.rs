use kser_core::Record;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{Offset, TopicPartitionList};

use super::*;
use crate::KafkaConfig;
use crate::channel::RecordId;
use crate::transaction::link::Answers;
use crate::transaction::window::Statement;

/// The timeout of expected events.
const LONG: Duration = Duration::from_secs(90);

/// A transaction thread on a mock of three brokers, of which the first coordinates its transactions, the second leads the
/// partitions, and the third coordinates the group. The test is the poll thread.
struct Harness {
    cluster: MockCluster<'static, DefaultProducerContext>,
    consumer: BaseConsumer,
    owner: TransactionOwner,
    next: i64,
    read_backs: usize,
}

impl Harness {
    fn start() -> Self {
        let cluster = MockCluster::new(3).unwrap();
        for topic in ["in", "out"] {
            cluster.create_topic(topic, 1, 3).unwrap();
            cluster.partition_leader(topic, 0, Some(2)).unwrap();
        }
        cluster
            .coordinator(MockCoordinator::Group("g".to_owned()), 3)
            .unwrap();
        let of_transactions = MockCoordinator::Transaction("g.one".to_owned());
        cluster.coordinator(of_transactions, 1).unwrap();
        let config = KafkaConfig::new(cluster.bootstrap_servers());
        let consumer = config.consumer("g", None, 1).create().unwrap();
        let settings = TransactionSettings {
            client: config.transactional_producer("g.one"),
            group: "g".to_owned(),
            partitions: 9,
            hung: Duration::from_secs(3),
        };
        let time = Time::new(Arc::clone(&config.clock));
        let (owner, started) = start(settings, &Arc::default(), time).unwrap();
        started.blocking_recv().unwrap().unwrap();
        Self {
            cluster,
            consumer,
            owner,
            next: 0,
            read_backs: 0,
        }
    }

    /// Hands a delivery in, and answers the thread until it is settled. `before` is called before the offsets are stated.
    fn settle(&mut self, mut before: impl FnMut(&Self)) {
        let (answer, mut settled) = oneshot::channel();
        let record = Record::new(Topic::new("out").unwrap(), Some("x".into()));
        let id = RecordId {
            assignment: 1,
            offset: self.next,
        };
        self.next += 1;
        let link = Arc::clone(&self.owner.0);
        link.hand_in(EndedRecord {
            id,
            outputs: Arc::from([record]),
            answers: Answers::Settle(answer),
        });
        let until = monotonic() + LONG;
        loop {
            match settled.try_recv() {
                Ok(settled) => return settled.unwrap(),
                Err(_) => assert!(monotonic() < until, "it is settled in time"),
            }
            match link.take_request() {
                Some(PollRequest::State { .. }) => {
                    before(self);
                    let mut offsets = TopicPartitionList::new();
                    let next = Offset::Offset(self.next);
                    offsets.add_partition_offset("in", 0, next).unwrap();
                    let metadata = self.consumer.group_metadata().unwrap();
                    let stated = Some(Arc::new(StatedOffsets { offsets, metadata }));
                    link.answer(ThreadEvent::Stated(Statement::Offsets, stated));
                }
                Some(PollRequest::ReadBack) => {
                    self.read_backs += 1;
                    link.answer(ThreadEvent::Window(Event::ReadBack(Some(false))));
                }
                Some(PollRequest::Committed(_)) => {}
                None => link.channel.wakeup.wait(Duration::from_millis(10)),
            }
        }
    }
}

/// The client keeps the coordinator that is down, and its call does not come back.
#[test]
fn a_call_that_hangs_is_left_behind_and_the_window_is_sent_again() {
    let mut harness = Harness::start();
    for _ in 0..3 {
        harness.settle(|_| {});
    }
    let mut is_first = true;
    harness.settle(|harness| {
        if std::mem::take(&mut is_first) {
            harness.cluster.broker_down(3).unwrap();
            // The client learns that the broker is gone, and not that the coordinator has moved.
            thread::sleep(Duration::from_secs(1));
            let group = MockCoordinator::Group("g".to_owned());
            harness.cluster.coordinator(group, 2).unwrap();
        }
    });
    harness.settle(|_| {});
    assert_eq!(harness.read_backs, 0, "no commit was tried");
}

#[test]
fn a_stop_answers_later_deliveries() {
    let Harness { owner, .. } = Harness::start();
    let link = Arc::clone(&owner.0);
    drop(owner);
    let (answer, settled) = oneshot::channel();
    link.hand_in(EndedRecord {
        id: RecordId {
            assignment: 1,
            offset: 0,
        },
        outputs: Arc::from([]),
        answers: Answers::Settle(answer),
    });
    // Without an answer it is lost, too.
    let settled = settled.blocking_recv().unwrap_or(Err(Error::Lost));
    assert!(matches!(settled, Err(Error::Lost)), "{settled:?}");
}
