//! Members of a group that freeze, stop, start again, join and leave, on real Kafka.

use std::time::Duration;

use crate::common::process::{Process, Setup};
use crate::common::road::{self, Diary, Log, Stuck, Trip, all_arrive, walk};
use crate::common::{SHORT_SESSION, Tested, connect, expect, on_kafka, prefix, until, url};
use kser::client::Routes;
use libtest_mimic::{Failed, Trial};
use tokio::time::{Instant, sleep};

/// What is waited for comes sooner, unless it is lost.
const LONG: Duration = Duration::from_secs(90);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_kafka(
            "late_settles_of_a_frozen_member_do_no_harm",
            frozen_beyond_its_session,
        ),
        on_kafka("an_instance_that_was_killed_goes_on_at_once", same_instance),
        on_kafka(
            "a_graceful_restart_reads_nothing_finished_again",
            graceful_restart,
        ),
        on_kafka("a_handler_that_is_stuck_does_not_hold_a_stop", stuck),
        on_kafka("a_second_signal_ends_a_consumer_at_once", two_signals),
        on_kafka("a_restart_with_holes_runs_only_the_holes", holes),
        on_kafka(
            "a_task_may_take_longer_than_every_limit_of_the_client",
            long_tasks,
        ),
        on_kafka(
            "an_instance_whose_topics_share_a_group_is_one_member_of_it",
            two_topics_of_one_group,
        ),
        on_kafka("an_instance_whose_name_is_held_waits_for_it", name_is_held),
        on_kafka(
            "a_group_may_rebalance_in_another_way_than_its_size_says",
            other_rebalance,
        ),
    ]
}

/// Case: a consumer that is frozen beyond its session, and woken when another has done its work.
async fn frozen_beyond_its_session() -> Tested {
    let url = url(SHORT_SESSION);
    let kser = connect(&url, &road::registry(Diary::default()), 2).await?;
    let setup = Setup::new(&url);
    let mut frozen = setup.start()?;
    let mut runs = Vec::new();
    for trip in 0..40 {
        runs.push(kser.producer().launch(Trip { trip, ms: 100 }).await?);
    }
    let begun = || {
        frozen
            .texts("ran")
            .iter()
            .filter(|leg| leg.ends_with(" 1"))
            .count()
            >= 20
    };
    until("legs run", LONG, begun).await?;
    frozen.signal("-STOP")?;
    let mut other = setup.start()?;
    all_arrive(&runs, LONG).await?;
    let before = frozen.texts("ran").len();
    frozen.signal("-CONT")?;
    let told = || frozen.output().contains("are lost without a final commit");
    until("the frozen one hears of it", LONG, told).await?;
    // It is a member again, and both work.
    let assigned = || {
        let last = |process: &Process| process.texts("assigned").pop();
        [&frozen, &other]
            .map(last)
            .iter()
            .all(|last| last.as_deref() == Some("1"))
    };
    until("they share the work", LONG, assigned).await?;
    for (process, line, partitions) in [
        (&other, "partitions assigned", "road: 2 [0-1]\" assigned=2"),
        (&other, "partitions revoked", "road: 1 ["),
        (&frozen, "partitions assigned", "road: 1 ["),
    ] {
        let output = process.output();
        let mut lines = output.lines();
        let is_there = |told: &str| told.contains(line) && told.contains(partitions);
        expect(lines.any(is_there), || {
            format!("no {line} {partitions}: {output}")
        })?;
    }
    for trip in 40..60 {
        runs.push(kser.producer().launch(Trip { trip, ms: 5 }).await?);
    }
    all_arrive(&runs[40..], LONG).await?;
    expect(frozen.texts("ran").len() > before, || frozen.output())?;
    for process in [&mut frozen, &mut other] {
        process.stop().await?;
    }
    let mut log = Log::default();
    for process in [&frozen, &other] {
        log.add(process.said("ran"));
    }
    log.in_order(60)?;
    let twice = log
        .0
        .iter()
        .filter(|((trip, _), runs)| *trip >= 40 && runs.len() > 1);
    expect(twice.count() == 0, || {
        "trips after the freeze ran twice".to_owned()
    })?;
    nothing_runs_again(&kser, &setup).await
}

/// A new consumer has nothing to do but what is sent now.
async fn nothing_runs_again(kser: &kser::Client, setup: &Setup) -> Tested {
    let mut next = setup.start()?;
    for n in 0..8 {
        kser.producer()
            .send(walk("last", 0))
            .with_key(format!("{n}"))
            .await?;
    }
    let ran = || next.texts("done").len() >= 8;
    until("the last runs", LONG, ran).await?;
    next.stop().await?;
    let ran = next.texts("ran");
    expect(ran.len() == 8, || format!("ran again: {ran:?}"))
}

/// With an instance's name nobody waits for the end of a session, which is 20 seconds here.
async fn same_instance() -> Tested {
    let url = url("");
    let kser = connect(&url, &road::registry(Diary::default()), 2).await?;
    let setup = Setup::new(&url).with_instance("postman");
    let mut first = setup.start()?;
    kser.producer().send(walk("a", 0)).await?;
    until("a runs", LONG, || !first.texts("done").is_empty()).await?;
    // Longer than what is done waits for its commit.
    sleep(Duration::from_secs(2)).await;
    kser.producer().send(walk("b", 60_000)).await?;
    until("b runs", LONG, || first.texts("ran").len() == 2).await?;
    first.kill()?;
    let mut second = setup.start()?;
    let began = Instant::now();
    until("b runs again", LONG, || !second.texts("ran").is_empty()).await?;
    println!("an instance goes on after {:?}", began.elapsed());
    expect(began.elapsed() < Duration::from_secs(12), || {
        format!("{:?}", began.elapsed())
    })?;
    expect(second.texts("ran") == ["b"], || second.output())?;
    second.kill()?;
    Ok(())
}

/// Conformance 32: a stop in the middle of work, and a start.
async fn graceful_restart() -> Tested {
    let url = url("");
    let kser = connect(&url, &road::registry(Diary::default()), 3).await?;
    let producer = kser.producer();
    for n in 0..600 {
        producer
            .send(walk(format!("{n}"), 20))
            .with_key(format!("{}", n % 50))
            .await?;
    }
    let setup = Setup::new(&url);
    let mut ran = Vec::new();
    for part in 1..=4 {
        let mut process = setup.start()?;
        let enough = || part == 4 || process.texts("done").len() >= 60;
        until("some run", LONG, enough).await?;
        if part == 4 {
            let before = ran.len();
            let all = || before + process.texts("done").len() >= 600;
            until("the rest runs", LONG, all).await?;
        }
        let status = process.stop().await?;
        expect(status.success(), || process.output())?;
        expect(
            process.texts("ran").len() == process.texts("done").len(),
            || process.output(),
        )?;
        ran.extend(process.texts("done"));
    }
    let all = ran.len();
    ran.sort();
    ran.dedup();
    expect((all, ran.len()) == (600, 600), || {
        format!("{all} runs of {}", ran.len())
    })
}

/// Conformance 33 and case 17: what is finished is committed, what is stuck runs elsewhere, and only that.
async fn stuck() -> Tested {
    const DEADLINE: Duration = Duration::from_secs(1);
    let url = url(SHORT_SESSION);
    let kser = connect(&url, &road::registry(Diary::default()), 1).await?;
    let producer = kser.producer();
    producer
        .send(Stuck {
            name: "stuck".to_owned(),
        })
        .await?;
    for n in 0..20 {
        producer.send(walk(format!("{n}"), 10)).await?;
    }
    let setup = Setup::new(&url).with_shutdown_timeout(DEADLINE);
    let mut process = setup.start()?;
    until("the others are done", LONG, || {
        process.texts("done").len() == 20
    })
    .await?;
    let began = Instant::now();
    process.signal("-TERM")?;
    // The guard waits five seconds more for a stop that may still end, and then leaves the group within two.
    let status = process.end(DEADLINE + LONG).await?;
    println!(
        "a stuck one ends {:?} after its deadline",
        began.elapsed() - DEADLINE
    );
    expect(!status.success(), || format!("{status}"))?;
    expect(
        process.output().contains("left behind: road.Stuck["),
        || process.output(),
    )?;
    let mut next = setup.start()?;
    producer.send(walk("last", 0)).await?;
    until("the last runs", LONG, || next.texts("done") == ["last"]).await?;
    let mut ran = next.texts("ran");
    ran.sort();
    expect(ran == ["last", "stuck"], || format!("{ran:?}"))?;
    next.kill()?;
    Ok(())
}

/// A person who is in a hurry: the second signal does not wait for the task, which runs again elsewhere.
async fn two_signals() -> Tested {
    let url = url(SHORT_SESSION);
    let kser = connect(&url, &road::registry(Diary::default()), 1).await?;
    kser.producer().send(walk("long", 8_000)).await?;
    let setup = Setup::new(&url).with_shutdown_timeout(LONG);
    let mut process = setup.start()?;
    until("it runs", LONG, || !process.texts("ran").is_empty()).await?;
    process.signal("-INT")?;
    sleep(Duration::from_millis(2500)).await;
    expect(!process.has_ended()?, || process.output())?;
    process.signal("-INT")?;
    let status = process.end(LONG).await?;
    expect(status.code() == Some(130), || format!("{status}"))?;
    let mut next = setup.start()?;
    until("it is done", LONG, || next.texts("done") == ["long"]).await?;
    next.stop().await?;
    Ok(())
}

/// Conformance 34: what was done behind a slow task is not done again after a crash.
async fn holes() -> Tested {
    let url = url("");
    let kser = connect(&url, &road::registry(Diary::default()), 1).await?;
    let producer = kser.producer();
    for n in 0..300 {
        let (name, ms) = if n % 100 == 7 {
            ("slow", 60_000)
        } else {
            ("fast", 0)
        };
        producer.send(walk(format!("{name} {n}"), ms)).await?;
    }
    let setup = Setup::new(&url).with_instance("sieve");
    let mut process = setup.start()?;
    until("the fast are done", LONG, || {
        process.texts("done").len() == 297
    })
    .await?;
    // Longer than what is done waits for its commit.
    sleep(Duration::from_secs(2)).await;
    process.kill()?;
    let mut next = setup.start()?;
    producer.send(walk("last", 0)).await?;
    until("the last runs", LONG, || next.texts("done") == ["last"]).await?;
    let mut ran = next.texts("ran");
    ran.sort();
    expect(ran == ["last", "slow 107", "slow 207", "slow 7"], || {
        format!("{ran:?}")
    })?;
    next.kill()?;
    Ok(())
}

/// Conformance 51: the client's limits are for its thread, not for tasks.
async fn long_tasks() -> Result<(), Failed> {
    let url = url(&format!("{SHORT_SESSION}&max.poll.interval.ms=1500"));
    let kser = connect(&url, &road::registry(Diary::default()), 1).await?;
    kser.producer().send(walk("long", 6000)).await?;
    let mut process = Setup::new(&url).start()?;
    until("it is done", LONG, || process.texts("done") == ["long"]).await?;
    process.stop().await?;
    expect(process.texts("ran") == ["long"], || process.output())?;
    nothing_runs_again(&kser, &Setup::new(&url)).await
}

/// Two topics that are executed by one group, by a consumer with an instance's name.
async fn two_topics_of_one_group() -> Tested {
    let routes = Routes::new()
        .with_prefix(prefix())?
        .with_topic("road.Walk", "walks")?
        .with_group("walks", "people")?
        .with_group("road", "people")?;
    let url = format!("kafka://{}", test_services::kafka());
    let kser = kser::Client::builder_from_url(url).routes(routes);
    let (kser, diary) = (kser.build().await?, Diary::default());
    let registry = road::registry(diary.clone());
    kser.ensure_topics(&registry, Some(2)).await?;
    let consumer = kser.consumer(registry).with_instance("porter").spawn();
    let mut trips = Vec::new();
    for trip in 0..10 {
        trips.push(kser.producer().launch(Trip { trip, ms: 0 }).await?);
        kser.producer().send(walk(format!("{trip}"), 0)).await?;
    }
    all_arrive(&trips, LONG).await?;
    until("the walks are done", LONG, || {
        diary.texts("done").len() == 10
    })
    .await?;
    Ok(consumer.stop().await?)
}

/// Under the protocol of KIP-848 a member that was killed holds its name until its session ends.
async fn name_is_held() -> Tested {
    let url = url("group.protocol=consumer");
    let kser = connect(&url, &road::registry(Diary::default()), 2).await?;
    let mut first = Setup::new(&url).with_instance("porter").start()?;
    kser.producer().send(walk("a", 0)).await?;
    until("a runs", LONG, || !first.texts("done").is_empty()).await?;
    first.kill()?;
    let diary = Diary::default();
    let consumer = kser.consumer(road::registry(diary.clone()));
    let consumer = consumer.with_instance("porter").spawn();
    kser.producer().send(walk("b", 0)).await?;
    let is_told = || {
        let health = consumer.handle().health();
        let mut groups = health
            .transport
            .iter()
            .flat_map(|health| &health.not_in_group);
        groups.any(|group| group.reason.contains("the instance name porter"))
    };
    until("the health tells why it waits", LONG, is_told).await?;
    // The kill may have come before the commit of what was done.
    let runs = || diary.texts("done").iter().any(|name| name == "b");
    until("b runs", LONG, runs).await?;
    Ok(consumer.stop().await?)
}

/// As when members that count fewer partitions are still there.
async fn other_rebalance() -> Tested {
    let url = url("");
    let kser = connect(&url, &road::registry(Diary::default()), 2).await?;
    let mut eager =
        Setup::new(&format!("{url}&partition.assignment.strategy=roundrobin")).start()?;
    kser.producer().send(walk("a", 0)).await?;
    until("a runs", LONG, || eager.texts("done") == ["a"]).await?;
    let diary = Diary::default();
    let consumer = kser.consumer(road::registry(diary.clone())).spawn();
    let shares = || {
        let health = consumer.handle().health();
        health
            .transport
            .iter()
            .map(|health| health.assigned.len())
            .sum::<usize>()
            == 1
    };
    until("it has its share", LONG, shares).await?;
    eager.stop().await?;
    kser.producer().send(walk("b", 0)).await?;
    until("b runs", LONG, || diary.texts("done") == ["b"]).await?;
    Ok(consumer.stop().await?)
}
