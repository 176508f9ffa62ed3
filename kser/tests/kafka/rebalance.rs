//! Members that share partitions, join and leave, on real Kafka.

use std::time::Duration;

use crate::common::process::{Process, Setup};
use crate::common::road::{self, Diary, Log, Walk, walk};
use crate::common::{Random, SHORT_SESSION, Tested, connect, expect, on_kafka, until, url};
use kser::{Context, IntoTask, Registry, RetryPolicy, TaskError};
use libtest_mimic::Trial;
use tokio::time::{Instant, sleep};

/// What is waited for comes sooner, unless it is lost.
const LONG: Duration = Duration::from_secs(90);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_kafka("members_share_the_partitions_evenly", || shared_evenly("")),
        on_kafka("members_share_the_partitions_evenly_with_kip_848", || {
            shared_evenly("group.protocol=consumer")
        }),
        on_kafka(
            "a_stop_in_a_back_off_keeps_the_count_and_the_order_of_a_key",
            stops_in_a_back_off,
        ),
        on_kafka("members_join_and_leave_at_random", || {
            at_random(SHORT_SESSION)
        }),
        on_kafka("members_join_and_leave_at_random_with_range", || {
            at_random(
                "session.timeout.ms=1500&heartbeat.interval.ms=300&partition.assignment.strategy=range",
            )
        }),
        on_kafka("members_join_and_leave_at_random_with_kip_848", || {
            at_random("group.protocol=consumer")
        }),
    ]
}

/// Each member has its share of the partitions with work, and tasks run in all.
async fn shared_evenly(options: &str) -> Tested {
    let url = url(options);
    let diaries = [(); 3].map(|()| Diary::default());
    let kser = connect(&url, &road::registry(Diary::default()), 6).await?;
    let members = diaries
        .clone()
        .map(|diary| kser.consumer(road::registry(diary)).spawn());
    let shares = || {
        members.iter().all(|member| {
            let health = member.handle().health().transport;
            health
                .iter()
                .map(|health| health.assigned.len())
                .sum::<usize>()
                == 2
        })
    };
    until("each has two of six", LONG, shares).await?;
    for n in 0..60 {
        kser.producer()
            .send(walk("a", 0))
            .with_key(format!("{n}"))
            .await?;
    }
    let ran = || diaries.iter().all(|diary| !diary.texts("done").is_empty());
    until("each runs some", LONG, ran).await?;
    for member in members {
        member.stop().await?;
    }
    Ok(())
}

/// The count of failed attempts goes on in the next life of a consumer, and what is behind a retry of its key waits for it.
async fn stops_in_a_back_off() -> Tested {
    let diary = Diary::default();
    let seen = diary.clone();
    let task = move |ctx: Context, walk: Walk| {
        let (attempt, diary) = (ctx.attempt(), seen.clone());
        async move {
            diary.note("ran", &format!("{}#{attempt}", walk.name));
            match walk.name.as_str() {
                "first" if attempt < 3 => Err(TaskError::new("NotYet", "not yet")),
                _ => Ok(()),
            }
        }
    };
    let wait = Duration::from_secs(8);
    let policy = RetryPolicy::exponential(3, wait).max_delay(wait);
    let task = task.with_retry(policy);
    let registry = Registry::new().task(task).build()?;
    let kser = connect(&url(""), &registry, 1).await?;
    for name in ["first", "second", "third"] {
        kser.producer().send(walk(name, 0)).with_key("k").await?;
    }
    for attempts in 1..=2 {
        let consumer = kser.consumer(registry.clone()).spawn();
        until("it fails once more", LONG, || {
            diary.texts("ran").len() == attempts
        })
        .await?;
        consumer.stop().await?;
    }
    let consumer = kser.consumer(registry).spawn();
    until("all run", LONG, || diary.texts("ran").len() == 5).await?;
    consumer.stop().await?;
    let ran = diary.texts("ran");
    let expected = ["first#1", "first#2", "first#3", "second#1", "third#1"];
    expect(ran == expected, || format!("{ran:?}"))
}

/// Members come, go and are killed. Nothing is lost, and what is not done again keeps the order of its key.
async fn at_random(settings: &'static str) -> Tested {
    const KEYS: u32 = 12;
    let url = url(settings);
    let kser = connect(&url, &road::registry(Diary::default()), 6).await?;
    let setup = Setup::new(&url);
    let mut random = Random::new("members");
    let (mut members, mut gone): (Vec<Process>, Vec<Process>) = (vec![setup.start()?], Vec::new());
    let producer = kser.producer();
    let sender = tokio::spawn(async move {
        for n in 0..1200_u32 {
            let key = n % KEYS;
            let name = format!("{key} {}", n / KEYS);
            producer
                .send(walk(name, 2))
                .with_key(format!("{key}"))
                .await?;
            sleep(Duration::from_millis(5)).await;
        }
        Ok::<_, kser::Error>(())
    });
    for _ in 0..20 {
        sleep(Duration::from_millis(random.between(100, 500))).await;
        match random.between(0, 5) {
            0..=2 if members.len() < 4 => members.push(setup.start()?),
            3 | 4 if members.len() > 1 => {
                let mut member = members.remove(0);
                member.kill()?;
                gone.push(member);
            }
            _ if members.len() > 1 => {
                let member = members.remove(0);
                member.signal("-TERM")?;
                gone.push(member);
            }
            _ => {}
        }
    }
    sender.await??;
    let all = || firsts(gone.iter().chain(&members)).len() >= 1200;
    until("all run", LONG, all).await?;
    for member in &mut members {
        member.stop().await?;
    }
    for member in &mut gone {
        member.end(LONG).await?;
    }
    let firsts = firsts(gone.iter().chain(&members));
    for key in 0..KEYS {
        let of_key = (0..100).map(|n| firsts.get(&(key, n)));
        let times: Option<Vec<_>> = of_key.collect();
        let times = times.ok_or("something is lost")?;
        expect(times.is_sorted(), || format!("key {key} ran out of order"))?;
    }
    Ok(())
}

/// When each began for the first time, by key and number.
fn firsts<'a>(
    members: impl Iterator<Item = &'a Process>,
) -> std::collections::BTreeMap<(u32, u32), Instant> {
    let mut log = Log::default();
    members.for_each(|member| log.add(member.said("ran")));
    let firsts = log.0.into_iter();
    firsts
        .filter_map(|(name, runs)| Some((name, runs.into_iter().min()?)))
        .collect()
}
