//! The coordinator of a group moves from broker to broker while members join and leave: each partition continues, and each
//! record runs.
//!
//! `KSER_COORDINATOR_SECONDS` sets for how long, 15 unless set.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common;
use kser_core::{Record, Room, Subscription, Topic, TopicSpec, Transport};
use kser_kafka::{KafkaConfig, KafkaTransport};
use test_services::{Admin, Cluster};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

const PARTITIONS: u32 = 6;
/// The number of records of a round with random keys. Each partition gets one more.
const KEYED: usize = 600;
/// The number of members at a time.
const MEMBERS: usize = 3;
/// The least number of rounds, also on a slow machine.
const ROUNDS: usize = 3;
/// The session timeout of members, in milliseconds.
const SESSION_MS: &str = "2500";
/// The longest time in which the records of a round run, unless a partition has stopped.
const LONG: Duration = Duration::from_secs(60);

/// Moves coordinators until it is dropped.
struct Mover {
    moves: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Mover {
    fn start(admin: Admin) -> Self {
        let (moves, ends) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (counted, ended) = (Arc::clone(&moves), Arc::clone(&ends));
        let run = move || {
            for round in 0.. {
                // Two moves may meet one rebalance. Then the session of a member may end that could not tell any coordinator
                // that it leaves, since each new coordinator restarts the session.
                thread::sleep(Duration::from_millis([100, 300, 3500][round % 3]));
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let moved = admin.move_leaders("__consumer_offsets").unwrap();
                counted.fetch_add(moved, Ordering::Relaxed);
            }
        };
        let thread = Some(thread::spawn(run));
        Self {
            moves,
            ends,
            thread,
        }
    }

    /// Stops moving, and returns the number of moves.
    fn end(mut self) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.moves.load(Ordering::Relaxed)
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// The records that ran, and how often.
type Ran = Arc<Mutex<BTreeMap<String, usize>>>;

/// Runs the records that a member receives, until it has to leave.
async fn work(
    mut member: Box<dyn Subscription>,
    mut leave: oneshot::Receiver<()>,
    ran: Ran,
) -> Box<dyn Subscription> {
    loop {
        let received = tokio::select! {
            biased;
            _ = &mut leave => return member,
            received = member.receive(Room::records(100)) => received.unwrap(),
        };
        for delivery in received {
            let text = common::text(&delivery.record);
            *ran.lock().unwrap().entry(text).or_default() += 1;
            let _ = delivery.ticket.settle(Vec::new()).await.unwrap();
        }
    }
}

struct Member {
    work: JoinHandle<Box<dyn Subscription>>,
    leave: oneshot::Sender<()>,
}

impl Member {
    async fn join(transport: &KafkaTransport, topic: &Topic, ran: &Ran) -> Self {
        let member = common::member(transport, topic).await;
        let (leave, leaves) = oneshot::channel();
        let work = tokio::spawn(work(member, leaves, Arc::clone(ran)));
        Self { work, leave }
    }

    async fn leave(self) -> Box<dyn Subscription> {
        self.leave.send(()).unwrap();
        self.work.await.unwrap()
    }
}

/// One group, whose members come and go.
struct Group {
    transport: KafkaTransport,
    topic: Topic,
    admin: Admin,
    ran: Ran,
    /// The records that are published.
    published: Vec<String>,
}

impl Group {
    async fn new(cluster: &Cluster, protocol: &str) -> Self {
        let config = KafkaConfig::new(cluster.bootstrap());
        let mut config = config.with("group.protocol", protocol).unwrap();
        if protocol == "classic" {
            config = config.with("session.timeout.ms", SESSION_MS).unwrap();
        }
        let transport = KafkaTransport::with_config(config).await.unwrap();
        let topic = Topic::new(protocol).unwrap();
        let spec = TopicSpec::work(topic.clone()).with_partitions(PARTITIONS);
        transport.ensure_topics(&[spec]).await.unwrap();
        Self {
            transport,
            topic,
            admin: cluster.admin(),
            ran: Ran::default(),
            published: Vec::new(),
        }
    }

    /// Publishes a record to each partition, and more to any.
    async fn publish(&mut self, round: usize) {
        let keyed: Vec<_> = (0..KEYED).map(|n| format!("{round} key {n}")).collect();
        let record = |text: &String| {
            Record::new(self.topic.clone(), Some(text.clone().into())).with_key(text.clone())
        };
        let records = keyed.iter().map(record).collect();
        self.transport.publish(records).await.unwrap();
        self.published.extend(keyed);
        let of = move |n: u32| format!("{round} partition {n}");
        let (admin, topic) = (self.admin.clone(), self.topic.clone());
        let publish = move || {
            for n in 0..PARTITIONS {
                admin.publish(topic.as_str(), n, &[], of(n).as_bytes());
            }
        };
        spawn_blocking(publish).await.unwrap();
        self.published.extend((0..PARTITIONS).map(of));
    }

    fn missing(&self) -> Vec<&String> {
        let ran = self.ran.lock().unwrap();
        let published = self.published.iter();
        published.filter(|text| !ran.contains_key(*text)).collect()
    }

    /// Lets members join and leave, and checks that all published records run meanwhile.
    async fn live(mut self, until: Instant) {
        let mut members = VecDeque::new();
        let mut round = 0;
        while round < ROUNDS || Instant::now() < until {
            // There are records when the member joins, and others arrive meanwhile.
            self.publish(2 * round).await;
            members.push_back(Member::join(&self.transport, &self.topic, &self.ran).await);
            if members.len() > MEMBERS {
                let left = members.pop_front().unwrap().leave().await;
                if round % 2 == 0 {
                    // A final commit may meet the move of its coordinator.
                    let _ = left.close().await;
                }
            }
            self.publish(2 * round + 1).await;
            let all = timeout(LONG, async {
                while !self.missing().is_empty() {
                    sleep(Duration::from_millis(20)).await;
                }
            });
            if all.await.is_err() {
                let mut states = Vec::new();
                for member in members {
                    states.push(member.leave().await.health());
                }
                let (protocol, missing) = (&self.topic, self.missing());
                panic!("{protocol}, round {round}: {missing:?} did not run: {states:#?}");
            }
            round += 1;
        }
        for member in members {
            let _ = member.leave().await.close().await;
        }
        let ran = self.ran.lock().unwrap();
        let runs: usize = ran.values().sum();
        println!(
            "{}: {round} rounds, {} records, {} ran again",
            self.topic,
            ran.len(),
            runs - ran.len()
        );
        assert_eq!(ran.len(), self.published.len());
    }
}

test_services::cluster_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn every_partition_goes_on_while_the_coordinator_moves_and_members_join() {
        let seconds = std::env::var("KSER_COORDINATOR_SECONDS");
        let seconds = seconds.map_or(15, |seconds| seconds.parse().unwrap());
        let cluster = Cluster::builder().with_brokers(3);
        let cluster = cluster.with_property("group.consumer.session.timeout.ms", SESSION_MS);
        let cluster = spawn_blocking(|| cluster.start()).await.unwrap();
        let classic = Group::new(&cluster, "classic").await;
        let new = Group::new(&cluster, "consumer").await;
        let mover = Mover::start(cluster.admin());
        let until = Instant::now() + Duration::from_secs(seconds);
        tokio::join!(classic.live(until), new.live(until));
        let moves = mover.end();
        println!("{moves} moves of partitions of __consumer_offsets");
        assert!(moves >= 3 * ROUNDS, "{moves}");
    }
);
