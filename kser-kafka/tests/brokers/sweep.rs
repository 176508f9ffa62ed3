//! The whole sweep of lost requests and answers: further places, kills of the member, both guarantees, both releases of Kafka.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::common::{self, publish, text};
use crate::transactions::{
    AT_LEAST_ONCE, AT_ONCE, Case, OF_MEMBERS, OF_TRANSACTIONS, QUIET, cases, connect,
    copy_with_loss, named, output,
};
use kser_core::{Room, Subscription, Topic};
use kser_kafka::{Guarantee, KafkaConfig, KafkaTransport};
use test_services::{Admin, Cluster, Release};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// The variable with the servers, the client id, the guarantee and the topics of a member.
const MEMBER: &str = "KSER_SWEEP_MEMBER";
/// The number of requests of each API that are lost, one after another.
const REQUESTS: usize = 3;
/// The timeout of the records of a run.
const LONG: Duration = Duration::from_secs(120);

/// A member that copies records until it is killed.
struct Member(Child);

impl Member {
    fn start(servers: &str, case: &Case, topics: &[Topic; 2]) -> Self {
        let (client, [input, to]) = (&case.place.client, topics);
        let setup = format!("{servers} {client} {:?} {input} {to}", case.guarantee);
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["--ignored", "--exact", "sweep::a_member_of_the_sweep"]);
        process.env(MEMBER, setup).stdout(Stdio::null());
        Self(process.spawn().unwrap())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is a process of the sweep"]
async fn a_member_of_the_sweep() {
    let Ok(setup) = std::env::var(MEMBER) else {
        return;
    };
    let parts: Vec<_> = setup.split(' ').collect();
    let [servers, client, guarantee, input, to] = parts[..] else {
        panic!("{setup}");
    };
    let guarantee = match guarantee {
        "ExactlyOnce" => Guarantee::ExactlyOnce,
        _ => Guarantee::AtLeastOnce,
    };
    let transport = connect(servers, client, guarantee).await;
    let [input, to] = [input, to].map(|name| Topic::new(name).unwrap());
    let mut member = named(&transport, &input, "sweep").await;
    loop {
        for delivery in member.receive(Room::records(10)).await.unwrap() {
            let outputs = vec![output(&to, text(&delivery.record))];
            let mut ticket = delivery.ticket;
            while let Err(not) = ticket.settle(outputs.clone()).await {
                ticket = not.ticket;
            }
        }
    }
}

/// Copies three records while a request, or its answer, is lost, and the member is killed right then. Another member of its name
/// goes on.
async fn copy_with_kill(cluster: Arc<Cluster>, number: usize, case: Case) {
    let servers = cluster.bootstrap();
    let admin = Admin::new(servers.clone());
    let topics = ["in", "out"].map(|name| {
        let name = format!("{name}.{number}");
        admin.create_topic(&name, 1, 1);
        Topic::new(name).unwrap()
    });
    let outside = KafkaTransport::with_config(KafkaConfig::new(servers.clone()));
    let outside = outside.await.unwrap();
    let mut reader = common::member(&outside, &topics[1]).await;
    let first = Member::start(&servers, &case, &topics);
    publish(&outside, &topics[0], &["a", "b", "c"]).await;
    let (mut seen, until) = (Vec::new(), Instant::now() + LONG);
    let has_all = |seen: &[String]| seen.iter().collect::<BTreeSet<_>>().len() == 3;
    while !cluster.has_lost(&case.place) && !has_all(&seen) && Instant::now() < until {
        seen.extend(read(&mut *reader, Duration::from_millis(20)).await);
    }
    drop(first);
    let second = Member::start(&servers, &case, &topics);
    while !has_all(&seen) {
        let more = read(&mut *reader, LONG).await;
        assert!(!more.is_empty(), "{seen:?} in time: {case:?}");
        seen.extend(more);
    }
    seen.extend(read(&mut *reader, QUIET).await);
    drop(second);
    if case.guarantee == Guarantee::AtLeastOnce {
        seen.sort_unstable();
        seen.dedup();
    }
    assert_eq!(seen, ["a", "b", "c"], "{case:?}");
    // The group has all of them.
    let mut next = named(&outside, &topics[0], "sweep").await;
    publish(&outside, &topics[0], &["d"]).await;
    let again = read(&mut *next, LONG).await;
    let may_come_again = case.guarantee == Guarantee::AtLeastOnce;
    assert!(again == ["d"] || may_come_again, "{again:?}: {case:?}");
}

/// Settles the records that come within a time, up to the first batch.
async fn read(member: &mut dyn Subscription, limit: Duration) -> Vec<String> {
    let mut texts = Vec::new();
    if let Ok(received) = timeout(limit, member.receive(Room::records(10))).await {
        for delivery in received.unwrap() {
            texts.push(text(&delivery.record));
            drop(delivery.ticket.settle(Vec::new()).await.unwrap());
        }
    }
    texts
}

/// Runs each case, and prints how many places were not reached.
async fn run(release: Release, has_kills: bool) {
    let start = move || {
        let builder = Cluster::builder().with_proxy().with_release(release);
        let builder = builder.with_property("broker.session.timeout.ms", "15000");
        Arc::new(builder.start())
    };
    let cluster = tokio::task::spawn_blocking(start).await.unwrap();
    let mut all = cases(Guarantee::ExactlyOnce, &OF_TRANSACTIONS, 0..REQUESTS);
    all.extend(cases(Guarantee::ExactlyOnce, &OF_MEMBERS, 0..REQUESTS));
    all.extend(cases(Guarantee::AtLeastOnce, &OF_MEMBERS, 0..REQUESTS));
    let others = AT_LEAST_ONCE.iter().filter(|api| !OF_MEMBERS.contains(api));
    let others: Vec<_> = others.copied().collect();
    all.extend(cases(Guarantee::AtLeastOnce, &others, 0..REQUESTS));
    let (began, turns) = (Instant::now(), Arc::new(Semaphore::new(AT_ONCE)));
    let mut runs = tokio::task::JoinSet::new();
    for (number, case) in all.iter().cloned().enumerate() {
        cluster.lose(case.place.clone(), case.loss);
        let (cluster, turns) = (Arc::clone(&cluster), Arc::clone(&turns));
        runs.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            match has_kills {
                true => copy_with_kill(cluster, number, case).await,
                false => copy_with_loss(cluster.bootstrap(), number, case).await,
            }
        });
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
    let missed = all.iter().filter(|case| !cluster.has_lost(&case.place));
    let missed: Vec<_> = missed.map(|case| &case.place.client).collect();
    println!(
        "{release:?}, kills {has_kills}: {} places in {:?}, {} not reached: {missed:?}",
        all.len(),
        began.elapsed(),
        missed.len(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes: see CONTRIBUTING"]
async fn on_4_4_0() {
    run(Release::V4_4_0, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes: see CONTRIBUTING"]
async fn on_4_4_0_with_kills() {
    run(Release::V4_4_0, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes: see CONTRIBUTING"]
async fn on_4_3_1() {
    run(Release::V4_3_1, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes: see CONTRIBUTING"]
async fn on_4_3_1_with_kills() {
    run(Release::V4_3_1, true).await;
}
