//! Lost requests and answers on real Kafka, and exactly-once delivery: members that wake up late, and long tasks.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::common::{self, receive, settled, text, topic};
use kser_core::{Error, Interest, Record, Room, Subscription, Topic, Transport};
use kser_kafka::{Guarantee, KafkaConfig, KafkaTransport};
use test_services::{Admin, Cluster, Loss, Place};
use tokio::sync::Semaphore;

/// The timeout of expected events.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// A time in which a record would come.
pub(crate) const QUIET: Duration = Duration::from_secs(1);
/// The number of copies that run at once.
pub(crate) const AT_ONCE: usize = 6;

/// The requests of a transaction, by the number of their API: Produce, InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn
/// and TxnOffsetCommit.
pub(crate) const OF_TRANSACTIONS: [i16; 6] = [0, 22, 24, 25, 26, 28];
/// The requests of a member: Fetch, ListOffsets, Metadata, OffsetFetch, FindCoordinator, JoinGroup, Heartbeat, LeaveGroup,
/// SyncGroup and ApiVersions.
pub(crate) const OF_MEMBERS: [i16; 10] = [1, 2, 3, 9, 10, 11, 12, 13, 14, 18];
/// The requests of a member that publishes and commits by itself: Produce, OffsetCommit, OffsetFetch, JoinGroup and
/// InitProducerId.
pub(crate) const AT_LEAST_ONCE: [i16; 5] = [0, 8, 9, 11, 22];

pub(crate) async fn exactly_once(servers: &str) -> KafkaTransport {
    connect(servers, "kser", Guarantee::ExactlyOnce).await
}

pub(crate) async fn connect(servers: &str, client: &str, guarantee: Guarantee) -> KafkaTransport {
    let config = KafkaConfig::new(servers).with_delivery(guarantee);
    let config = config.with("client.id", client).unwrap();
    KafkaTransport::with_config(config).await.unwrap()
}

pub(crate) async fn named(
    transport: &KafkaTransport,
    topic: &Topic,
    name: &str,
) -> Box<dyn Subscription> {
    let interest = Interest::group(format!("{topic}.group"), vec![topic.clone()]);
    let interest = interest.with_instance(Some(name.to_owned()));
    transport.subscribe(interest).await.unwrap()
}

pub(crate) fn output(topic: &Topic, payload: String) -> Record {
    Record::new(topic.clone(), Some(payload.into())).with_key("key")
}

/// Makes a text that no compression makes much shorter.
pub(crate) fn noise(length: usize) -> String {
    let next = |state: &u64| {
        Some(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        )
    };
    let states = std::iter::successors(Some(1_u64), next);
    let chars = states.map(|state| char::from(b'0' + (state >> 58) as u8));
    chars.take(length).collect()
}

/// Settles the records that are there, until none comes any more.
pub(crate) async fn settled_texts(member: &mut dyn Subscription) -> Vec<String> {
    let mut texts = settled(member, 1).await;
    while let Ok(more) = tokio::time::timeout(QUIET, settled(member, 1)).await {
        texts.extend(more);
    }
    texts
}

/// Leaves a group. On a busy machine the client may go on leaving in the background.
pub(crate) async fn leave(member: Box<dyn Subscription>) {
    if let Err(error) = member.close().await {
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    }
}

/// Copies records from one topic to another, each as a delivery of its own.
async fn copy(member: &mut dyn Subscription, to: &Topic, count: usize) {
    for delivery in receive(member, count).await {
        let outputs = vec![output(to, text(&delivery.record))];
        let settled = delivery.ticket.settle(outputs).await.unwrap();
        assert!(!settled.is_lost());
    }
}

/// A member that copies records in the background.
struct Copier {
    stop: Arc<AtomicBool>,
    copies: tokio::task::JoinHandle<Box<dyn Subscription>>,
}

impl Copier {
    fn start(mut member: Box<dyn Subscription>, to: Topic) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let is_stopped = Arc::clone(&stop);
        let copies = tokio::spawn(async move {
            while !is_stopped.load(Ordering::Relaxed) {
                let received = member.receive(Room::records(10));
                let Ok(received) = tokio::time::timeout(QUIET / 10, received).await else {
                    continue;
                };
                for delivery in received.unwrap() {
                    let outputs = vec![output(&to, text(&delivery.record))];
                    // A record that is lost in a rebalance comes to another member.
                    let _ = delivery.ticket.settle(outputs).await.unwrap();
                }
            }
            member
        });
        Self { stop, copies }
    }

    async fn stop(self) -> Box<dyn Subscription> {
        self.stop.store(true, Ordering::Relaxed);
        self.copies.await.unwrap()
    }
}

/// A loss in a run of its own.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) guarantee: Guarantee,
    pub(crate) place: Place,
    pub(crate) loss: Loss,
}

/// Copies three records while a request, or its answer, is lost. Clients of another name, whose requests are not counted, publish
/// and judge.
pub(crate) async fn copy_with_loss(servers: String, number: usize, case: Case) {
    let admin = Admin::new(servers.clone());
    let topics = ["in", "out"].map(|name| {
        let name = format!("{name}.{number}");
        admin.create_topic(&name, 1, 1);
        Topic::new(name).unwrap()
    });
    let outside = KafkaConfig::new(servers.clone());
    let outside = KafkaTransport::with_config(outside).await.unwrap();
    let transport = connect(&servers, &case.place.client, case.guarantee).await;
    let mut member = common::member(&transport, &topics[0]).await;
    for text in ["a", "b", "c"] {
        common::publish(&outside, &topics[0], &[text]).await;
        copy(&mut *member, &topics[1], 1).await;
    }
    leave(member).await;
    let mut reader = common::member(&outside, &topics[1]).await;
    let mut seen = settled(&mut *reader, 3).await;
    while let Ok(more) = tokio::time::timeout(QUIET, settled(&mut *reader, 1)).await {
        assert!(
            case.guarantee == Guarantee::AtLeastOnce,
            "{more:?} comes twice: {case:?}"
        );
        seen.extend(more);
    }
    seen.dedup();
    assert_eq!(seen, ["a", "b", "c"], "{case:?}");
    // The group has all of them: the next member gets none.
    let mut next = common::member(&outside, &topics[0]).await;
    let again = tokio::time::timeout(QUIET, receive(&mut *next, 1)).await;
    let may_come_again = case.guarantee == Guarantee::AtLeastOnce;
    assert!(
        again.is_err() || may_come_again,
        "an input is redelivered: {case:?}"
    );
}

/// Returns a case for each loss of each of these requests.
pub(crate) fn cases(guarantee: Guarantee, apis: &[i16], nths: std::ops::Range<usize>) -> Vec<Case> {
    let mut cases = Vec::new();
    for api in apis {
        for nth in nths.clone() {
            for loss in [Loss::Request, Loss::Answer] {
                let client = format!("{guarantee:?}-{api}-{nth}-{loss:?}");
                let place = Place {
                    client,
                    api: *api,
                    nth,
                };
                cases.push(Case {
                    guarantee,
                    place,
                    loss,
                });
            }
        }
    }
    cases
}

/// Returns a broker behind a proxy, which is started by the first call and ends with the process.
pub(crate) fn proxied() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        // A busy broker is not to lose the session of its own controller.
        let builder = Cluster::builder().with_proxy();
        builder
            .with_property("broker.session.timeout.ms", "15000")
            .start()
    })
}

test_services::cluster_tests!(
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn brokers_before_2_5_are_refused_with_the_option_that_they_can_do() {
        let cluster = tokio::task::spawn_blocking(proxied).await.unwrap();
        let config = |client: &str| {
            let config = KafkaConfig::new(cluster.bootstrap());
            config.with("client.id", client).unwrap()
        };
        // InitProducerId, TxnOffsetCommit and OffsetFetch.
        for (api, greatest) in [(22, 2), (28, 2), (9, 6)] {
            let client = format!("older-{api}");
            cluster.limit_version(&client, api, greatest);
            let exactly_once = config(&client).with_delivery(Guarantee::ExactlyOnce);
            let error = KafkaTransport::with_config(exactly_once).await.unwrap_err();
            let text = common::told(&error);
            assert!(text.contains("delivery=at-least-once"), "{text}");
            assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
            let transport = KafkaTransport::with_config(config(&client)).await;
            assert!(transport.is_ok(), "at least once needs none of them");
        }
        connect(&cluster.bootstrap(), "newer", Guarantee::ExactlyOnce).await;
    }

    /// Its coordinator does not learn of it, and would commit the offsets alone.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_transaction_that_an_operator_aborts_is_sent_again() {
        const PRODUCE: i16 = 0;
        let cluster = tokio::task::spawn_blocking(proxied).await.unwrap();
        let admin = cluster.admin();
        let topics = ["operated", "operated.out"].map(|name| {
            admin.create_topic(name, 1, 1);
            Topic::new(name).unwrap()
        });
        let transport = connect(&cluster.bootstrap(), "operated", Guarantee::ExactlyOnce).await;
        let mut member = common::member(&transport, &topics[0]).await;
        common::publish(&transport, &topics[0], &["a"]).await;
        let delivery = receive(&mut *member, 1).await.remove(0);
        cluster.hold("operated", PRODUCE);
        let outputs = vec![output(&topics[1], "a".to_owned())];
        let settled = tokio::spawn(async move { delivery.ticket.settle(outputs).await.unwrap() });
        let abort = move || admin.abort_transaction("operated.out", 0);
        tokio::task::spawn_blocking(abort).await.unwrap();
        // No operator is faster.
        tokio::time::sleep(QUIET * 2).await;
        cluster.release("operated", PRODUCE);
        assert!(!settled.await.unwrap().is_lost());
        let mut reader = common::member(&transport, &topics[1]).await;
        assert_eq!(settled_texts(&mut *reader).await, ["a"]);
        leave(member).await;
    }

    /// Neither a record that is too large for its topic, nor many small ones that are too large together, abort a window: its
    /// producer would be replaced.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn records_are_compared_with_the_limit_of_their_topic_before_they_are_sent() {
        const INIT_PRODUCER_ID: i16 = 22;
        let cluster = tokio::task::spawn_blocking(proxied).await.unwrap();
        let admin = cluster.admin();
        admin.create_topic("sizes", 1, 1);
        admin.create_topic_with("small", 1, 1, &[("max.message.bytes", "2000")]);
        let topics = ["sizes", "small"].map(|name| Topic::new(name).unwrap());
        let transport = connect(&cluster.bootstrap(), "sizes", Guarantee::ExactlyOnce).await;
        let mut member = common::member(&transport, &topics[0]).await;
        let mut producers = Vec::new();
        for _ in 0..3 {
            common::publish(&transport, &topics[0], &["x"; 20]).await;
            let mut settles = tokio::task::JoinSet::new();
            for (number, delivery) in receive(&mut *member, 20).await.into_iter().enumerate() {
                let size = if number == 7 { 3000 } else { 500 };
                let outputs = vec![output(&topics[1], noise(size))];
                settles.spawn(async move {
                    match delivery.ticket.settle(outputs).await {
                        Ok(_) => 0,
                        Err(not) => {
                            let told = common::told(&not.source);
                            assert!(told.contains("2000"), "{told}");
                            let _ = not.ticket.settle(Vec::new()).await.unwrap();
                            1
                        }
                    }
                });
            }
            assert_eq!(settles.join_all().await.iter().sum::<i32>(), 1);
            producers.push(cluster.requests("sizes")[&INIT_PRODUCER_ID]);
        }
        leave(member).await;
        // The first time the producer is replaced by one with smaller batches.
        assert_eq!(producers[0], producers[2], "{producers:?}");
    }

    /// Each request, and each answer, is lost once, in runs of their own.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_lost_request_or_answer_loses_nothing_and_a_transaction_doubles_nothing() {
        let cluster = tokio::task::spawn_blocking(proxied).await.unwrap();
        let mut all = cases(Guarantee::ExactlyOnce, &OF_TRANSACTIONS, 0..2);
        all.extend(cases(Guarantee::ExactlyOnce, &OF_MEMBERS, 0..1));
        all.extend(cases(Guarantee::AtLeastOnce, &AT_LEAST_ONCE, 0..1));
        let mut runs = tokio::task::JoinSet::new();
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        for (number, case) in all.iter().cloned().enumerate() {
            cluster.lose(case.place.clone(), case.loss);
            let (servers, turns) = (cluster.bootstrap(), Arc::clone(&turns));
            runs.spawn(async move {
                let _turn = turns.acquire().await.unwrap();
                copy_with_loss(servers, number, case).await;
            });
        }
        while let Some(run) = runs.join_next().await {
            run.unwrap();
        }
        let is_missed = |case: &&Case| !cluster.has_lost(&case.place);
        let missed: Vec<_> = all.iter().filter(is_missed).collect();
        println!("{} places, not reached: {missed:?}", all.len());
        let of_transactions = missed
            .iter()
            .filter(|case| OF_TRANSACTIONS.contains(&case.place.api));
        assert_eq!(of_transactions.count(), 0, "{missed:?}");
    }
);

test_services::kafka_tests!(
    #[tokio::test(flavor = "multi_thread")]
    async fn a_long_task_holds_back_neither_its_partition_nor_a_window() {
        let (input, to) = (topic(&[]), topic(&[]));
        let transport = exactly_once(test_services::kafka()).await;
        let mut member = common::member(&transport, &input).await;
        let wait = Duration::from_secs(30 + 10);
        assert_eq!(member.health().readers_wait_after_kill, Some(wait));
        common::publish(&transport, &input, &["long"]).await;
        let long = receive(&mut *member, 1).await.remove(0);
        let mut reader = common::member(&transport, &to).await;
        for round in 0..3 {
            let texts = [format!("{round}a"), format!("{round}b")];
            common::publish(&transport, &input, &[&texts[0], &texts[1]]).await;
            copy(&mut *member, &to, 2).await;
            assert_eq!(settled(&mut *reader, 2).await, texts);
        }
        // The offset is still that of the long task, and the next member gets that task alone.
        drop(long);
        leave(member).await;
        let mut next = common::member(&transport, &input).await;
        assert_eq!(settled(&mut *next, 1).await, ["long"]);
        let more = tokio::time::timeout(QUIET, receive(&mut *next, 1)).await;
        assert!(more.is_err(), "a record that was settled is redelivered");
    }

    /// The guarantee of a group can be changed member by member, in both directions.
    #[tokio::test(flavor = "multi_thread")]
    async fn members_of_both_guarantees_share_a_group() {
        const PARTITIONS: u32 = 4;
        let name = format!("both.{}", std::process::id());
        common::admin().create_topic(&name, PARTITIONS, 1);
        let (input, to) = (Topic::new(name).unwrap(), topic(&[]));
        let least = connect(test_services::kafka(), "kser", Guarantee::AtLeastOnce).await;
        let once = exactly_once(test_services::kafka()).await;
        let mut reader = common::member(&least, &to).await;
        let (mut expected, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut members: Vec<Copier> = Vec::new();
        for (round, (joins, leaves)) in [
            (Some(&least), false),
            (Some(&once), false),
            (None, true),
            (Some(&least), false),
            (None, true),
        ]
        .into_iter()
        .enumerate()
        {
            if let Some(transport) = joins {
                let member = common::member(transport, &input).await;
                members.push(Copier::start(member, to.clone()));
            }
            let texts: Vec<_> = (0..20).map(|n| format!("{round}.{n}")).collect();
            let record = |text: &String| {
                Record::new(input.clone(), Some(text.clone().into())).with_key(text.clone())
            };
            least
                .publish(texts.iter().map(record).collect())
                .await
                .unwrap();
            expected.extend(texts);
            if leaves {
                leave(members.remove(0).stop().await).await;
            }
            while seen.len() < expected.len() {
                seen.extend(settled(&mut *reader, 1).await);
            }
            assert_eq!(seen, expected, "round {round}");
        }
    }

    /// The successor has the name, and the producer of the other is fenced.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_member_that_wakes_up_after_its_successor_publishes_nothing() {
        let (input, to) = (topic(&[]), topic(&[]));
        let transport = exactly_once(test_services::kafka()).await;
        let mut first = named(&transport, &input, "one").await;
        assert_eq!(
            first.health().readers_wait_after_kill,
            None,
            "it has a name"
        );
        common::publish(&transport, &input, &["a"]).await;
        let late = receive(&mut *first, 1).await.remove(0);
        let mut second = named(&transport, &input, "one").await;
        copy(&mut *second, &to, 1).await;
        let outputs = vec![output(&to, "late".to_owned())];
        let is_lost = late.ticket.settle(outputs).await.unwrap().is_lost();
        assert!(is_lost, "the successor has settled it");
        common::publish(&transport, &input, &["b"]).await;
        copy(&mut *second, &to, 1).await;
        let mut reader = common::member(&transport, &to).await;
        assert_eq!(settled(&mut *reader, 2).await, ["a", "b"]);
        let more = tokio::time::timeout(QUIET, receive(&mut *reader, 1)).await;
        assert!(more.is_err(), "the late output is visible");
    }
);
