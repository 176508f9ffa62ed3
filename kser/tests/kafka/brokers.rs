//! Brokers that are killed, frozen and not there: nothing is lost, and a consumer ends when it is asked to.

use std::time::Duration;

use crate::common::process::Setup;
use crate::common::road::{self, Diary, Log, Trip, all_arrive, walk};
use crate::common::{
    AT_LEAST_ONCE, EXACTLY_ONCE, Random, SHORT_SESSION, Tested, connect, expect, on_cluster, until,
    url_of,
};
use kser::consumer::RunningConsumer;
use kser::{Client, Error, Run};
use libtest_mimic::{Failed, Trial};
use test_services::Cluster;
use tokio::time::{Instant, sleep};

/// How long after the brokers are there again everything has to have ended.
const RECOVERY: Duration = Duration::from_secs(90);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_cluster("a_the_only_broker_is_killed_and_starts_again", || {
            under_load(1, |cluster| {
                cluster.kill(1);
                std::thread::sleep(Duration::from_secs(1));
                cluster.restart(1);
            })
        }),
        on_cluster(
            "a_the_only_broker_is_frozen_beyond_all_sessions_and_wakes",
            || {
                under_load(1, |cluster| {
                    cluster.freeze(1);
                    std::thread::sleep(Duration::from_secs(4));
                    cluster.thaw(1);
                })
            },
        ),
        on_cluster("a_two_of_three_brokers_are_killed_and_start_again", || {
            under_load(3, |cluster| {
                cluster.kill(1);
                std::thread::sleep(Duration::from_millis(500));
                cluster.kill(2);
                std::thread::sleep(Duration::from_secs(2));
                cluster.restart(2);
                cluster.restart(1);
            })
        }),
        on_cluster("a_one_of_three_brokers_is_frozen_and_wakes", || {
            under_load(3, |cluster| {
                cluster.freeze(1);
                // Long enough for the others to go on without it.
                std::thread::sleep(Duration::from_secs(15));
                cluster.thaw(1);
            })
        }),
        on_cluster(
            "a_step_that_runs_in_four_outages_is_no_suspect",
            outages_in_a_row,
        ),
        on_cluster("a_the_only_broker_is_frozen_again_and_again", many_outages),
        on_cluster("a_stop_ends_in_time_with_a_silent_broker", || {
            stop_in_silence(AT_LEAST_ONCE)
        }),
        on_cluster("x_a_stop_ends_in_time_with_a_silent_broker", || {
            stop_in_silence(EXACTLY_ONCE)
        }),
        on_cluster("a_start_waits_for_no_broker_for_ever", no_broker),
    ]
}

/// Starts brokers. The harness is on a runtime, which must not be blocked.
async fn brokers(count: u16) -> Result<Cluster, Failed> {
    Ok(tokio::task::spawn_blocking(move || Cluster::start(count)).await?)
}

/// Launches operations of three steps while something happens to the brokers.
async fn under_load(count: u16, happens: fn(&Cluster)) -> Tested {
    let cluster = brokers(count).await?;
    let url = url_of(
        &cluster.bootstrap(),
        &format!("{SHORT_SESSION}&{AT_LEAST_ONCE}"),
    );
    let diary = Diary::default();
    let registry = road::registry(diary.clone());
    let kser = connect(&url, &registry, 3).await?;
    let consumers = [
        kser.consumer(registry).spawn(),
        kser.consumer(road::registry(diary.clone())).spawn(),
    ];
    let mut runs = launch(&kser, 0..50).await?;
    let cluster = std::sync::Arc::new(cluster);
    let of_thread = std::sync::Arc::clone(&cluster);
    let happening = tokio::task::spawn_blocking(move || happens(&of_thread));
    // What is launched meanwhile waits, and arrives too.
    runs.extend(launch(&kser, 50..150).await?);
    happening.await?;
    runs.extend(launch(&kser, 150..200).await?);
    let began = Instant::now();
    all_arrive(&runs, RECOVERY).await?;
    println!(
        "{count} brokers: all arrived {:?} after they were there",
        began.elapsed()
    );
    for consumer in consumers {
        consumer.stop().await?;
    }
    let mut log = Log::default();
    log.add(diary.said("ran"));
    println!(
        "{count} brokers: {} legs for {}",
        log.runs(),
        runs.len() * 4
    );
    log.in_order(200)
}

/// One consumer on a cluster of one broker.
struct SingleBroker {
    cluster: Cluster,
    diary: Diary,
    kser: Client,
    consumer: RunningConsumer,
}

impl SingleBroker {
    async fn start() -> Result<Self, Failed> {
        let cluster = brokers(1).await?;
        let url = url_of(
            &cluster.bootstrap(),
            &format!("{SHORT_SESSION}&{AT_LEAST_ONCE}"),
        );
        let diary = Diary::default();
        let registry = road::registry(diary.clone());
        let kser = connect(&url, &registry, 1).await?;
        let consumer = kser.consumer(registry).spawn();
        Ok(Self {
            cluster,
            diary,
            kser,
            consumer,
        })
    }
}

/// The broker is silent for a while again and again, and clients lose all their brokers. As often as `KSER_OUTAGES` says, or
/// three times.
async fn many_outages() -> Tested {
    let SingleBroker {
        cluster,
        diary,
        kser,
        consumer,
    } = SingleBroker::start().await?;
    let mut random = Random::new("outages");
    let outages = std::env::var("KSER_OUTAGES").ok();
    let outages = outages.and_then(|outages| outages.parse().ok());
    for outage in 0..outages.unwrap_or(3) {
        let before = launch_one(&kser, outage * 2).await?;
        let frozen = random.between(1000, 6000);
        cluster.freeze(1);
        sleep(Duration::from_millis(frozen)).await;
        cluster.thaw(1);
        let after = launch_one(&kser, outage * 2 + 1).await?;
        let began = Instant::now();
        if let Err(error) = all_arrive(&[before, after], RECOVERY).await {
            let (ran, health) = (diary.texts("ran"), consumer.handle().health());
            let error = error.message().unwrap_or_default().to_owned();
            return Err(format!(
                "outage {outage} of {frozen} ms: {error}; ran {ran:?}; {health:?}"
            )
            .into());
        }
        println!(
            "outage {outage} of {frozen} ms: all arrived after {:?}",
            began.elapsed()
        );
    }
    Ok(consumer.stop().await?)
}

/// The broker is silent beyond the session again and again, while the same step runs.
async fn outages_in_a_row() -> Tested {
    let SingleBroker {
        cluster,
        diary,
        kser,
        consumer,
    } = SingleBroker::start().await?;
    let run = kser.producer().launch(Trip { trip: 0, ms: 3000 }).await?;
    let begun = || {
        diary
            .texts("ran")
            .iter()
            .filter(|leg| *leg == "0 1")
            .count()
    };
    for outages in 0..4 {
        until("the step runs, again", RECOVERY, || begun() > outages).await?;
        cluster.freeze(1);
        sleep(Duration::from_secs(4)).await;
        cluster.thaw(1);
    }
    // Each attempt may have sent its next step before it heard that it was lost: they all run, one behind the other.
    all_arrive(&[run], RECOVERY * 3).await?;
    // At least: what the brokers take for another rebalance runs it once more.
    expect(begun() >= 5, || format!("it began {} times", begun()))?;
    Ok(consumer.stop().await?)
}

async fn launch(kser: &Client, trips: std::ops::Range<u32>) -> Result<Vec<Run>, Failed> {
    let mut runs = Vec::new();
    for trip in trips {
        runs.push(launch_one(kser, trip).await?);
        sleep(Duration::from_millis(5)).await;
    }
    Ok(runs)
}

/// Launches one operation, again under its id when a broker that dies leaves open whether it was launched.
async fn launch_one(kser: &Client, trip: u32) -> Result<Run, Error> {
    let id = format!("trip {trip}");
    loop {
        let launch = kser.producer().launch(Trip { trip, ms: 5 });
        match launch.with_id(id.as_str()).await {
            Err(Error::MaybeSent { .. }) => {}
            launched => return launched,
        }
    }
}

/// SIGTERM while the broker is silent: with work in flight, with many groups, and before anything was assigned.
async fn stop_in_silence(delivery: &str) -> Tested {
    const DEADLINE: Duration = Duration::from_secs(2);
    const SOON: Duration = Duration::from_secs(60);
    let cluster = brokers(1).await?;
    // A member without a name leaves its transaction behind.
    let timeouts = "transaction.timeout.ms=5000&message.timeout.ms=5000";
    let options = format!("create=1&{SHORT_SESSION}&{timeouts}&{delivery}");
    let url = url_of(&cluster.bootstrap(), &options);
    let kser = connect(&url, &road::registry(Diary::default()), 1).await?;
    for n in 0..20 {
        kser.producer().send(walk(format!("{n}"), 400)).await?;
    }
    let setup = Setup::new(&url).with_shutdown_timeout(DEADLINE);
    let many = setup.clone().with_topics(&["a", "b", "c", "d", "e", "f"]);
    let mut many = many.start()?;
    let assigned = || many.texts("assigned").contains(&"6".to_owned());
    until("all groups are joined", SOON, assigned).await?;
    for topic in ["a", "b", "c", "d", "e", "f"] {
        kser.producer().send_bytes(topic, "no message").await?;
        let mut letters = kser.dead_letters(topic).await?;
        letters.next().await?.discard().await?;
    }
    let mut busy = setup.start()?;
    let ran = || busy.texts("ran").len() == 20;
    until("the tasks run", SOON, ran).await?;
    let mut young = setup.start()?;
    let connected = || !young.texts("connected").is_empty();
    until("it is connected", SOON, connected).await?;
    cluster.freeze(1);
    // One that has just begun: it asks for its topics, and nobody answers.
    let begun = kser.consumer(road::registry(Diary::default())).spawn();
    sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    tokio::time::timeout(DEADLINE * 3, begun.stop()).await??;
    for process in [&mut many, &mut busy, &mut young] {
        process.signal("-TERM")?;
    }
    for process in [&mut many, &mut busy, &mut young] {
        // The guard of a stop acts 5 s after the deadline, and needs time for that.
        let status = process.end(DEADLINE + SOON).await?;
        println!("{status} after {:?}: {}", began.elapsed(), process.output());
        expect(status.success(), || process.output())?;
    }
    for process in [&many, &busy] {
        // With a transaction that cannot be committed, the session may end before the stop does.
        let texts = ["leaving a group failed", "removed this member"];
        let output = process.output();
        expect(texts.iter().any(|text| output.contains(text)), || output)?;
    }
    cluster.thaw(1);
    // What was not committed runs again, and nothing is lost.
    let mut next = setup.start()?;
    kser.producer().send(walk("last", 0)).await?;
    let ran = || next.texts("done").iter().any(|name| name == "last");
    until("the last runs", RECOVERY, ran).await?;
    next.stop().await?;
    let mut done = busy.texts("done");
    done.extend(next.texts("done"));
    done.sort();
    done.dedup();
    expect(done.len() == 21, || format!("{done:?}"))
}

async fn no_broker() -> Tested {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let began = Instant::now();
    let error = kser::connect(&format!("kafka://{nobody}")).await;
    let error = error.err().ok_or("connected to nobody")?;
    let mut text = format!("{error}");
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    println!("{:?}: {text}", began.elapsed());
    expect(
        error.is_temporary() && text.contains(&nobody.port().to_string()),
        || text.clone(),
    )?;
    expect(began.elapsed() < RECOVERY, || {
        format!("{:?}", began.elapsed())
    })
}
