//! Consumers that are killed, in processes of their own, on real Kafka: row A of what is promised, cell by cell, and a
//! cell of row S.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::judge;
use crate::common::process::Setup;
use crate::common::road::{self, Bomb, Diary, LEGS, Log, Stuck, Trip, all_arrive, walk};
use crate::common::{
    AT_LEAST_ONCE, Random, SHORT_SESSION, Tested, connect, expect, on_kafka, prefix, until, url,
};
use kser::backend::StateStore as _;
use kser::postgres::PostgresStore;
use kser::{Outcome, Registry, Status, Step};
use libtest_mimic::{Failed, Trial};
use tokio::time::{Instant, sleep};

/// What is waited for comes sooner, unless it is lost.
const LONG: Duration = Duration::from_secs(30);

/// A step that began so long before a kill is committed: the interval of commits, and what a busy machine adds.
const COMMITTED: Duration = Duration::from_secs(1);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_kafka("a_steps_result_and_status_survive_kills_by_name", || {
            killed_at_random(Some("courier"), 8)
        }),
        on_kafka("a_steps_result_and_status_survive_kills_of_anyone", || {
            killed_at_random(None, 3)
        }),
        on_kafka("x_kills_of_a_named_consumer_double_no_step", || {
            steps_are_accepted_once(Some("courier"), 6)
        }),
        on_kafka(
            "x_kills_of_a_consumer_without_a_name_double_no_step",
            || steps_are_accepted_once(None, 2),
        ),
        on_kafka(
            "a_a_task_that_kills_its_process_is_a_dead_letter_and_63_others_run",
            one_bomb,
        ),
        on_kafka(
            "s_each_step_is_accepted_once_on_postgres_after_a_kill",
            killed_on_postgres,
        )
        .with_ignored_flag(!test_services::HAS_KAFKA || !test_services::HAS_POSTGRES),
        on_kafka(
            "three_deploys_of_a_handler_that_blocks_its_thread_are_no_crash",
            three_deploys,
        ),
    ]
}

/// The handler holds its thread, so that each process leaves its group without it and ends: that is no crash, and the fourth
/// process runs the step, in place of a dead letter.
async fn three_deploys() -> Tested {
    // With the session of a program: who did not leave holds the partition for longer than is waited.
    let url = url("");
    let kser = connect(&url, &road::registry(Diary::default()), 1).await?;
    let steps = vec![Step::new(Stuck {
        name: "stuck".to_owned(),
    })];
    let run = kser.producer().launch_steps("road.Deploy", steps).await?;
    let setup = Setup::new(&url).with_shutdown_timeout(Duration::from_secs(1));
    for _ in 0..3 {
        let mut process = setup.start()?;
        until("it runs", LONG, || process.texts("ran") == ["stuck"]).await?;
        process.signal("-TERM")?;
        process.end(LONG).await?;
        let output = process.output();
        let is_graceful =
            output.contains("left behind: road.Stuck[") && !output.contains("to run alone");
        expect(is_graceful, || output)?;
    }
    let done = |stuck: Stuck| async move { Outcome::text(stuck.name) };
    let consumer = kser.consumer(Registry::new().task(done).build()?).spawn();
    let state = run.wait_timeout(LONG).await?;
    expect(state.status == Status::Success, || format!("{state:?}"))?;
    Ok(consumer.stop().await?)
}

/// Launches operations of three steps and kills the only consumer again and again. Without a name the next one waits for
/// the end of its predecessor's session. After two kills it catches up: a third would count as the doing of a task.
async fn killed_at_random(instance: Option<&str>, kills: u32) -> Tested {
    let url = url(&format!("{SHORT_SESSION}&{AT_LEAST_ONCE}"));
    let (log, killed, runs) = launch_and_kill(&url, instance, kills).await?;
    log.in_order(u32::try_from(runs)?)?;
    let doubles = log.only_doubles_of(&killed, COMMITTED)?;
    println!("{runs} trips, {kills} kills: {doubles} legs ran again");
    expect(log.runs() == runs * (1 + LEGS as usize) + doubles, || {
        format!("{} runs", log.runs())
    })
}

/// With exactly-once delivery a task that a kill interrupts runs again, and the message of each step is visible once.
async fn steps_are_accepted_once(instance: Option<&str>, kills: u32) -> Tested {
    let prefix = prefix();
    let servers = test_services::kafka();
    let url = format!(
        "kafka://{servers}?prefix={prefix}&{SHORT_SESSION}&transaction.timeout.ms=10000&message.timeout.ms=10000&delivery=exactly-once"
    );
    let (log, _, runs) = launch_and_kill(&url, instance, kills).await?;
    log.in_order(u32::try_from(runs)?)?;
    let again = log.runs() - runs * (1 + LEGS as usize);
    let all = runs * (1 + LEGS as usize);
    judge::each_message_is_there_once(servers, &prefix, all).await?;
    println!("{runs} trips, {kills} kills: {again} legs ran again, and each message is there once");
    Ok(())
}

/// Launches operations and kills their consumer. Returns the runs of legs, the kills, and the number of operations.
async fn launch_and_kill(
    url: &str,
    instance: Option<&str>,
    kills: u32,
) -> Result<(Log, Vec<Instant>, usize), Failed> {
    let kser = connect(url, &road::registry(Diary::default()), 3).await?;
    let setup = Setup::new(url).with_instance(instance.unwrap_or_default());
    let mut random = Random::new("kills");
    let (mut log, mut killed, mut runs) = (Log::default(), Vec::new(), Vec::new());
    let wait = if instance.is_some() { 0 } else { 1500 };
    for round in 0..=kills {
        let mut process = setup.start()?;
        if round % 2 == 0 {
            all_arrive(&runs, Duration::from_secs(60)).await?;
        }
        let until = Instant::now() + Duration::from_millis(wait + random.between(100, 900));
        while Instant::now() < until && round < kills {
            let trip = u32::try_from(runs.len())?;
            let ms = random.between(0, 10);
            runs.push(kser.producer().launch(Trip { trip, ms }).await?);
            sleep(Duration::from_millis(10)).await;
        }
        if round < kills {
            process.kill()?;
            killed.push(Instant::now());
        } else {
            all_arrive(&runs, Duration::from_secs(60)).await?;
            process.stop().await?;
        }
        log.add(process.said("ran"));
    }
    Ok((log, killed, runs.len()))
}

/// Launches operations of three steps on Kafka and PostgreSQL, and kills the only consumer in the middle. Another one of its name
/// goes on.
async fn killed_on_postgres() -> Tested {
    const TRIPS: u32 = 100;
    let (url, database) = (url(SHORT_SESSION), test_services::postgres().url());
    let store = PostgresStore::open(&database).await?;
    let builder = kser::Client::builder_from_url(&url).store(store.clone());
    let kser = builder.build().await?;
    let registry = road::registry(Diary::default());
    kser.ensure_topics(&registry, Some(3)).await?;
    let mut runs = Vec::new();
    for trip in 0..TRIPS {
        let ms = u64::from(trip % 10);
        runs.push(kser.producer().launch(Trip { trip, ms }).await?);
    }
    let setup = Setup::new(&url).with_instance("courier");
    let setup = setup.with_store(&database);
    let mut first = setup.start()?;
    let middle = TRIPS as usize * 2;
    until("it is in the middle", LONG * 4, || {
        first.texts("ran").len() >= middle
    })
    .await?;
    first.kill()?;
    let killed = Instant::now();
    let mut second = setup.start()?;
    until("it goes on", LONG * 2, || !second.texts("ran").is_empty()).await?;
    println!("it went on {:?} after the kill", killed.elapsed());
    all_arrive(&runs, LONG * 4).await?;
    let mut log = Log::default();
    log.add(first.said("ran"));
    log.add(second.said("ran"));
    log.in_order(TRIPS)?;
    let mut accepted = 0;
    for run in &runs {
        let attempts = store.attempts(run.id(), None, 100).await?.rows;
        let good = attempts
            .iter()
            .filter(|attempt| attempt.status == Status::Success);
        let steps: Vec<u32> = good.map(|attempt| attempt.position).collect();
        expect(steps == [0, 1, 2, 3], || format!("{}: {steps:?}", run.id()))?;
        accepted += steps.len();
    }
    println!("{} runs of {accepted} accepted steps", log.runs());
    second.stop().await?;
    Ok(())
}

async fn one_bomb() -> Tested {
    let url = url(SHORT_SESSION);
    let kser = connect(&url, &road::registry(Diary::default()), 4).await?;
    let producer = kser.producer();
    for n in 0..63 {
        if n == 31 {
            producer.send(Bomb {}).await?;
        }
        producer.send(walk(format!("{n}"), 50)).await?;
    }
    let setup = Setup::new(&url).with_instance("sapper");
    let (mut bombs, mut runs, mut done, mut deaths) = (0, 0, BTreeSet::new(), 0);
    let began = Instant::now();
    loop {
        let mut process = setup.start()?;
        let mut died = false;
        let mut here = Vec::new();
        while !died && done.len() < 63 {
            expect(began.elapsed() < LONG * 6, || process.output())?;
            died = process.has_ended()?;
            here = process.texts("done");
            done.extend(here.iter().cloned());
            sleep(Duration::from_millis(10)).await;
        }
        runs += here.len();
        if !died {
            let mut letters = kser.dead_letters("road").await?;
            let letter = tokio::time::timeout(LONG, letters.next()).await??;
            let entrypoint = letter.message()?.entrypoint;
            expect(entrypoint.as_str() == "road.Bomb", || {
                entrypoint.to_string()
            })?;
            process.stop().await?;
        }
        bombs += process
            .texts("ran")
            .iter()
            .filter(|name| *name == "bomb")
            .count();
        if !died {
            break;
        }
        deaths += 1;
    }
    println!(
        "{deaths} deaths in {:?}, innocents ran {runs} times",
        began.elapsed()
    );
    expect((bombs, deaths, done.len()) == (3, 3, 63), || {
        format!("{bombs} bombs, {deaths} deaths, {} done", done.len())
    })
}
