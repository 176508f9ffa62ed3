//! States that are stored beside real Kafka: row S of what is promised, as far as the store in memory can show it. It
//! lives as long as the process, so that kills are of consumers, not of processes.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::road::{self, Bomb, Diary, LEGS, Log, Trip, all_arrive};
use crate::common::{Random, SHORT_SESSION, Tested, expect, on_kafka, until, url};
use kser::{Client, Entrypoint, Outcome, Registry, Run, Status, Step};
use libtest_mimic::{Failed, Trial};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

const LONG: Duration = Duration::from_secs(90);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_kafka(
            "s_next_step_result_and_status_are_exactly_once",
            exactly_once,
        ),
        on_kafka(
            "s_a_task_runs_at_least_once_and_a_late_one_is_fenced",
            fenced,
        ),
        on_kafka(
            "s_a_task_that_ends_its_consumer_is_counted_and_given_up",
            given_up,
        ),
        on_kafka("s_two_launches_of_one_id_are_one_run", one_id),
    ]
}

/// Connects to a place of one's own, with a store.
async fn stored(registry: &Registry) -> Result<Client, Failed> {
    let kser = Client::builder_from_url(url(SHORT_SESSION))
        .store(kser::memory::MemoryStore::new())
        .build()
        .await?;
    kser.ensure_topics(registry, Some(3)).await?;
    Ok(kser)
}

/// The only consumer is killed at random points. Steps run again; what they leave counts once.
async fn exactly_once() -> Tested {
    let diary = Diary::default();
    let kser = stored(&road::registry(diary.clone())).await?;
    let (mut random, mut runs) = (Random::new("stored"), Vec::<Run>::new());
    for round in 0..=8_u32 {
        let consumer = kser
            .consumer(road::registry(diary.clone()))
            .with_instance("clerk");
        let consumer = consumer.spawn();
        if round % 2 == 0 {
            all_arrive(&runs, LONG).await?;
        }
        let until = Instant::now() + Duration::from_millis(random.between(100, 700));
        while Instant::now() < until {
            let trip = u32::try_from(runs.len())?;
            let ms = random.between(0, 10);
            runs.push(kser.producer().launch(Trip { trip, ms }).await?);
            sleep(Duration::from_millis(5)).await;
        }
        match round {
            8 => {
                all_arrive(&runs, LONG).await?;
                consumer.stop().await?;
            }
            _ => consumer.kill(),
        }
    }
    for run in &runs {
        let attempts = kser.runs().all_attempts(run.id()).await?;
        for position in 0..=LEGS {
            let at = attempts
                .iter()
                .filter(|attempt| attempt.position == position);
            let accepted = at
                .filter(|attempt| attempt.status == Status::Success)
                .count();
            expect(accepted == 1, || {
                format!("{position} of {}: {attempts:?}", run.id())
            })?;
        }
        expect(run.outcomes().await?.len() == LEGS as usize, || {
            "outcomes".to_owned()
        })?;
    }
    let mut log = Log::default();
    log.add(diary.said("ran"));
    println!(
        "{} trips, {} legs for {}",
        runs.len(),
        log.runs(),
        runs.len() * 4
    );
    log.in_order(u32::try_from(runs.len())?)
}

#[derive(Clone, Serialize, Deserialize, Entrypoint)]
#[entrypoint("road.Slow")]
struct Slow {}

/// A consumer that loses its partition and its lease while a task runs writes nothing of it.
async fn fenced() -> Tested {
    let diary = Diary::default();
    let of_slow = diary.clone();
    let registry = move |name: &'static str, ms: u64| {
        let diary = of_slow.clone();
        let slow = move |_: Slow| {
            let diary = diary.clone();
            async move {
                diary.note("ran", name);
                // It does not hear that it is to end, as one that is blocked.
                let slept = tokio::task::spawn_blocking(move || {
                    std::thread::sleep(Duration::from_millis(ms));
                });
                let _ = slept.await;
                Outcome::text(name)
            }
        };
        Registry::new().task(slow).build().unwrap()
    };
    let kser = stored(&registry("", 0)).await?;
    let consumer = |registry| kser.consumer(registry).with_instance("one").spawn();
    let first = consumer(registry("first", 4000));
    let run = kser
        .producer()
        .launch_steps("road.Walk", vec![Step::new(Slow {})])
        .await?;
    until("it runs", LONG, || diary.texts("ran") == ["first"]).await?;
    // A new life of the same instance takes over at once; the old one still works.
    let second = consumer(registry("second", 0));
    let state = run.wait_timeout(LONG).await?;
    expect(state.outcome.message() == "second", || format!("{state:?}"))?;
    let ended = first.join().await;
    expect(ended.is_err(), || format!("{ended:?}"))?;
    let after = run.wait_timeout(LONG).await?;
    expect(
        after == state && diary.texts("ran") == ["first", "second"],
        || format!("{after:?}"),
    )?;
    Ok(second.stop().await?)
}

/// Attempts are counted before they run: the third end of a consumer is the last.
async fn given_up() -> Tested {
    let diary = Diary::default();
    let of_bomb = diary.clone();
    let bomb = move |_: Bomb| {
        of_bomb.note("ran", "bomb");
        std::future::pending::<()>()
    };
    let registry = move || Registry::new().task(bomb.clone()).build().unwrap();
    let kser = stored(&registry()).await?;
    let run = kser
        .producer()
        .launch_steps("road.Mine", vec![Step::new(Bomb {})])
        .await?;
    for times in 1..=3 {
        let consumer = kser.consumer(registry()).with_instance("sapper").spawn();
        until("it runs", LONG, || diary.texts("ran").len() == times).await?;
        consumer.kill();
    }
    let consumer = kser.consumer(registry()).with_instance("sapper").spawn();
    let state = run.wait_timeout(LONG).await?;
    expect(state.status == Status::Failed, || format!("{state:?}"))?;
    expect(diary.texts("ran").len() == 3, || "it ran again".to_owned())?;
    let mut letters = kser.dead_letters("road").await?;
    tokio::time::timeout(LONG, letters.next())
        .await??
        .discard()
        .await?;
    letters.close().await?;
    Ok(consumer.stop().await?)
}

async fn one_id() -> Tested {
    let diary = Diary::default();
    let kser = stored(&road::registry(diary.clone())).await?;
    let producer = kser.producer();
    let trip = |trip| producer.launch(Trip { trip, ms: 0 }).with_id("the-trip");
    let first = trip(0).await?;
    let consumer = kser.consumer(road::registry(diary.clone())).spawn();
    let second = trip(0).await?;
    all_arrive(&[first, second, trip(0).await?], LONG).await?;
    let other = trip(1).await;
    expect(other.is_err(), || format!("{other:?}"))?;
    consumer.stop().await?;
    expect(diary.texts("ran").len() == 4, || {
        format!("{:?}", diary.texts("ran"))
    })
}
