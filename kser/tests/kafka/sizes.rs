//! Records that their topics do not take, on real Kafka: nothing hangs, nothing is lost, and the error says why.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use crate::common::place::Place;
use crate::common::road::{self, Diary, Trip, all_arrive, walk};
use crate::common::{AT_LEAST_ONCE, EXACTLY_ONCE, Tested, expect, on_cluster, on_kafka, until};
use kser::dead_letter::DeadLetter;
use kser::task::task_fn;
use kser::{
    Client, Context, Entrypoint, Outcome, Registry, RetryPolicy, Run, Status, Step, TaskError,
};
use libtest_mimic::{Failed, Trial};
use serde::{Deserialize, Serialize};

/// What is waited for comes sooner, unless it is lost.
const LONG: Duration = Duration::from_secs(90);
/// What the small topics take, and what is too large for them.
const LIMIT: usize = 10_000;
const LARGE: usize = 20_000;

macro_rules! entrypoint {
    ($name:ident, $path:literal, { $($field:ident: $type:ty),* }) => {
        #[derive(Debug, Serialize, Deserialize, Entrypoint)]
        #[entrypoint($path)]
        struct $name { $($field: $type),* }
    };
}

// An operation of two steps, the second of which is large and has a topic of its own.
entrypoint!(Haul, "road.Haul", {});
entrypoint!(Load, "load.Load", { text: String });
// A task that sends a load, and something small beside it.
entrypoint!(Parcel, "road.Parcel", { topic: String });
// Tasks that leave much.
entrypoint!(Tale, "road.Tale", {});
entrypoint!(Doomed, "road.Doomed", { text: String });
entrypoint!(Flaky, "road.Flaky", { text: String });

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_kafka("a_step_that_its_topic_does_not_take_ends_its_run", || {
            refused_step(false)
        }),
        on_kafka("s_a_step_that_its_topic_does_not_take_ends_its_run", || {
            refused_step(true)
        }),
        on_kafka(
            "x_a_step_that_aborts_a_transaction_ends_its_run_and_no_other",
            aborted_step,
        ),
        on_kafka(
            "a_step_that_its_dead_letters_do_not_take_either_is_had_again_from_the_one_before",
            no_letter,
        ),
        on_kafka(
            "s_a_step_that_its_dead_letters_do_not_take_either_is_kept_in_the_store",
            no_letter_needed,
        ),
        on_kafka(
            "what_a_handler_sends_and_its_topic_does_not_take_is_a_dead_letter",
            || refused_output(false),
        ),
        on_kafka(
            "s_what_a_handler_sends_and_its_topic_does_not_take_is_a_dead_letter",
            || refused_output(true),
        ),
        on_kafka("a_run_whose_end_cannot_be_told_has_failed", refused_event),
        on_kafka(
            "a_dead_letter_that_is_too_large_leaves_our_headers_out",
            bare,
        ),
        on_kafka(
            "what_was_published_is_not_published_again_while_the_rest_is_held",
            missing_output,
        ),
        on_kafka(
            "a_retry_that_cannot_wait_is_the_last_and_its_letter_says_why",
            refused_wait,
        ),
        on_cluster("a_step_is_replayed_once_its_topic_takes_it", || {
            replayed(AT_LEAST_ONCE)
        }),
        on_cluster("x_a_step_is_replayed_once_its_topic_takes_it", || {
            replayed(EXACTLY_ONCE)
        }),
        on_cluster(
            "a_dead_letter_that_is_too_large_itself_is_held_and_named",
            held_letter,
        ),
    ]
}

fn load() -> Load {
    Load {
        text: "x".repeat(LARGE),
    }
}

/// Makes a load that no compression makes much smaller.
fn noisy_load() -> Load {
    let next = |state: &u64| {
        Some(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        )
    };
    let states = std::iter::successors(Some(1_u64), next).take(LARGE);
    let text = states.map(|state| char::from(b'0' + (state >> 58) as u8));
    Load {
        text: text.collect(),
    }
}

fn registry(diary: &Diary) -> Registry {
    let of_loads = diary.clone();
    let carry = move |_: Load| {
        of_loads.note("done", "load");
        async {}
    };
    let haul = |_: Haul| async {
        let steps = vec![Step::new(walk("first", 0)), Step::new(load())];
        Ok::<_, TaskError>(steps)
    };
    let parcel = task_fn(|ctx: Context, parcel: Parcel| async move {
        ctx.send_to(parcel.topic, None, load())?;
        ctx.send(walk("beside", 0))?;
        Ok::<_, TaskError>(())
    });
    let tale = |_: Tale| async { Outcome::text("x".repeat(LARGE)) };
    let doomed = task_fn(|_: Context, doomed: Doomed| async move {
        Err::<(), _>(TaskError::new("Doomed", doomed.text))
    });
    let doomed = doomed.with_retry(RetryPolicy::never());
    let flaky = |_: Flaky| async { Err::<(), _>(TaskError::new("Flaky", "try again")) };
    let all = road::registry(diary.clone()).into_builder().task(carry);
    let all = all.task(flaky).task(parcel).task(tale);
    all.task(doomed).operation(haul).build().unwrap()
}

/// Connects to where these topics take little.
async fn small(place: &Place, small: &[&str], store: bool) -> Result<Client, Failed> {
    for topic in small {
        let (admin, name) = (place.admin.clone(), format!("{}{topic}", place.prefix));
        let limit = LIMIT.to_string();
        let make = move || admin.create_topic_with(&name, 1, 1, &[("max.message.bytes", &limit)]);
        tokio::task::spawn_blocking(make).await?;
    }
    let kser = match store {
        true => {
            Client::builder_from_url(place.url())
                .store(kser::memory::MemoryStore::new())
                .build()
                .await?
        }
        false => kser::connect(&place.url()).await?,
    };
    kser.ensure_topics(&registry(&Diary::default()), Some(1))
        .await?;
    Ok(kser)
}

async fn letter(kser: &Client, topic: &str) -> Result<DeadLetter, Failed> {
    let mut letters = kser.dead_letters(topic).await?;
    Ok(tokio::time::timeout(LONG, letters.next()).await??)
}

/// The error names the topic, the size and the limit.
fn says_all(place: &Place, topic: &str, said: &str) -> Tested {
    let topic = format!("topic {}{topic} ", place.prefix);
    let sizes = [LARGE, LARGE + 1000].map(|size| size.to_string());
    let size = said.contains("bytes") && said.contains(&sizes[0][..2]);
    let limit = said.contains(&format!("its limit is {LIMIT}"));
    expect(said.contains(&topic) && size && limit, || said.to_owned())
}

/// The run fails, and says why.
async fn fails(run: &Run, place: &Place, topic: &str) -> Tested {
    let state = run.wait_timeout(LONG).await?;
    expect(state.status == Status::Failed, || format!("{state:?}"))?;
    let error = state.outcome.error().ok_or("it says no error")?;
    expect(error.code() == 413, || error.to_string())?;
    says_all(place, topic, &error.to_string())
}

async fn refused_step(stored: bool) -> Tested {
    let (place, diary) = (Place::new(), Diary::default());
    let kser = small(&place, &["load"], stored).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    let run = kser.producer().launch(Haul {}).await?;
    fails(&run, &place, "load").await?;
    let letter = letter(&kser, "load").await?;
    let entrypoint = letter.message()?.entrypoint;
    expect(entrypoint.as_str() == "load.Load", || {
        entrypoint.to_string()
    })?;
    expect(letter.origin().is_none(), || format!("{letter:?}"))?;
    says_all(&place, "load", &letter.error().unwrap_or_default())?;
    letter.keep();
    // The others go on.
    kser.producer().send(walk("next", 0)).await?;
    until("the next runs", LONG, || diary.texts("done").len() == 2).await?;
    expect(diary.texts("done") == ["first", "next"], || diary.output())?;
    Ok(consumer.stop().await?)
}

/// The sizes of compressed records are known to the brokers only, which refuse the batch, and abort the transaction. The dead letter
/// has one of its own.
async fn aborted_step() -> Tested {
    let place = Place::new().with(EXACTLY_ONCE).with("compression.type=lz4");
    let diary = Diary::default();
    small(&place, &["load"], false).await?;
    let kser = kser::connect(&place.url()).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    let mut runs = Vec::new();
    for trip in 0..10 {
        runs.push(kser.producer().launch(Trip { trip, ms: 5 }).await?);
    }
    let steps = vec![Step::new(walk("first", 0)), Step::new(noisy_load())];
    let run = kser.producer().launch_steps("road.Freight", steps).await?;
    for trip in 10..20 {
        runs.push(kser.producer().launch(Trip { trip, ms: 5 }).await?);
    }
    let state = run.wait_timeout(LONG).await?;
    expect(state.status == Status::Failed, || format!("{state:?}"))?;
    let error = state.outcome.error().ok_or("it says no error")?;
    expect(error.code() == 413, || error.to_string())?;
    all_arrive(&runs, LONG).await?;
    let letter = letter(&kser, "load").await?;
    let entrypoint = letter.message()?.entrypoint;
    expect(entrypoint.as_str() == "load.Load", || {
        entrypoint.to_string()
    })?;
    letter.keep();
    // The walk, and the operation and the legs of each trip.
    expect(diary.texts("ran").len() == 81, || diary.output())?;
    Ok(consumer.stop().await?)
}

async fn no_letter() -> Tested {
    let (place, diary) = (Place::new(), Diary::default());
    let kser = small(&place, &["load", "load.dlt"], false).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    let run = kser.producer().launch(Haul {}).await?;
    fails(&run, &place, "load").await?;
    let letter = letter(&kser, "road").await?;
    let entrypoint = letter.message()?.entrypoint;
    expect(entrypoint.as_str() == "road.Walk", || {
        entrypoint.to_string()
    })?;
    says_all(&place, "load.dlt", &letter.error().unwrap_or_default())?;
    letter.keep();
    Ok(consumer.stop().await?)
}

async fn no_letter_needed() -> Tested {
    let (place, diary) = (Place::new(), Diary::default());
    let kser = small(&place, &["load", "load.dlt"], true).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    let run = kser.producer().launch(Haul {}).await?;
    fails(&run, &place, "load").await?;
    let settled = || {
        let health = consumer.handle().health();
        health.held == 0 && health.transport.iter().all(|health| health.lag == Some(0))
    };
    until("nothing is held", LONG, settled).await?;
    let outcomes = run.outcomes().await?;
    expect(outcomes.len() == 1, || format!("{outcomes:?}"))?;
    Ok(consumer.stop().await?)
}

async fn refused_output(stored: bool) -> Tested {
    let (place, diary) = (Place::new(), Diary::default());
    let kser = small(&place, &["load"], stored).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    let topic = "load".to_owned();
    let steps = vec![Step::new(Parcel { topic })];
    let run = kser.producer().launch_steps("road.Post", steps).await?;
    all_arrive(&[run], LONG).await?;
    let letter = letter(&kser, "load").await?;
    says_all(&place, "load", &letter.error().unwrap_or_default())?;
    letter.keep();
    kser.producer().send(walk("next", 0)).await?;
    until("all run", LONG, || diary.texts("done").len() == 2).await?;
    let mut done = diary.texts("done");
    done.sort();
    expect(done == ["beside", "next"], || diary.output())?;
    Ok(consumer.stop().await?)
}

async fn refused_event() -> Tested {
    let (place, diary) = (Place::new(), Diary::default());
    let kser = small(&place, &["kser.events"], false).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    let run = kser
        .producer()
        .launch_steps("road.Evening", vec![Step::new(Tale {})]);
    fails(&run.await?, &place, "kser.events").await?;
    let letter = letter(&kser, "road").await?;
    let entrypoint = letter.message()?.entrypoint;
    expect(entrypoint.as_str() == "road.Tale", || {
        entrypoint.to_string()
    })?;
    letter.keep();
    Ok(consumer.stop().await?)
}

async fn refused_wait() -> Tested {
    let (place, diary) = (Place::new(), Diary::default());
    let waits = ["road.delay.1s", "road.delay.10s"];
    let kser = small(&place, &waits, false).await?;
    let consumer = kser.consumer(registry(&diary));
    let consumer = consumer.with_max_in_memory_delay(Duration::ZERO).spawn();
    let text = "x".repeat(LARGE);
    kser.producer().send(Flaky { text }).await?;
    let letter = letter(&kser, "road").await?;
    says_all(&place, "road.delay.1s", &letter.error().unwrap_or_default())?;
    let origin = letter.origin().map(|(topic, _)| topic);
    let expected = (1, Some(format!("{}road", place.prefix)));
    let found = (letter.attempts(), origin);
    expect(found == expected, || format!("{found:?}"))?;
    letter.keep();
    Ok(consumer.stop().await?)
}

async fn bare() -> Tested {
    let (place, diary) = (Place::new(), Diary::default());
    let kser = small(&place, &["road.dlt"], false).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    // The error, which is as long as the record, is a header of the letter.
    let text = "x".repeat(LIMIT - 1000);
    kser.producer().send(Doomed { text }).await?;
    let letter = letter(&kser, "road").await?;
    expect(letter.error().is_none(), || format!("{letter:?}"))?;
    let entrypoint = letter.message()?.entrypoint;
    expect(entrypoint.as_str() == "road.Doomed", || {
        entrypoint.to_string()
    })?;
    letter.keep();
    Ok(consumer.stop().await?)
}

async fn missing_output() -> Tested {
    let (place, diary) = (Place::new().with(AT_LEAST_ONCE), Diary::default());
    let kser = small(&place, &[], false).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    let topic = "nowhere".to_owned();
    kser.producer().send(Parcel { topic }).await?;
    let held = || consumer.handle().health().unsettled;
    until("it is held", LONG, || !held().is_empty()).await?;
    let [road, nowhere] = ["road", "nowhere"].map(|topic| format!("{}{topic}", place.prefix));
    let names = |held: &[kser::consumer::HeldPartition]| {
        let [held] = held else { return false };
        held.topic.as_str() == road && held.partition == 0 && held.reason.contains(&nowhere)
    };
    expect(names(&held()), || format!("{:?}", held()))?;
    // It is tried five times and more in this time.
    tokio::time::sleep(Duration::from_secs(2)).await;
    expect(diary.texts("done") == ["beside"], || diary.output())?;
    let (admin, topic) = (place.admin.clone(), nowhere.clone());
    tokio::task::spawn_blocking(move || admin.create_topic(&topic, 1, 1)).await?;
    until("it is not held any more", LONG, || held().is_empty()).await?;
    expect(diary.texts("done") == ["beside"], || diary.output())?;
    Ok(consumer.stop().await?)
}

/// Raises the limit of a topic, as an operator does.
async fn raise(place: &Place, topic: &str) -> Tested {
    let change = format!(
        "--alter --entity-type topics --entity-name {}{topic} --add-config max.message.bytes=1000000",
        place.prefix
    );
    let admin = place.admin.clone();
    let raise = move || {
        let arguments: Vec<_> = change.split(' ').collect();
        admin.tool("org.apache.kafka.tools.ConfigCommand", &arguments)
    };
    tokio::task::spawn_blocking(raise).await??;
    Ok(())
}

/// Replays the dead letter of a topic, again while the broker still has the former limit of the topic: the command that changes
/// it does not wait until the broker has the change.
async fn replay(kser: &Client, topic: &str) -> Tested {
    loop {
        let mut letters = kser.dead_letters(topic).await?;
        let letter = tokio::time::timeout(LONG, letters.next()).await??;
        match letter.replay().await {
            Err(kser::Error::TooLargeForTopic { .. }) => letters.close().await?,
            replayed => return Ok(replayed?),
        }
    }
}

async fn held_letter() -> Tested {
    let (place, diary) = (Place::new(), Diary::default());
    let kser = small(&place, &["road.dlt"], false).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    let text = "x".repeat(LARGE);
    kser.producer().send(Doomed { text }).await?;
    let named = || {
        let held = consumer.handle().health().unsettled;
        let [held] = &held[..] else { return false };
        held.topic.as_str() == format!("{}road", place.prefix) && held.reason.contains("road.dlt")
    };
    until("it is held", LONG, named).await?;
    kser.producer().send(walk("next", 0)).await?;
    until("others run", LONG, || diary.texts("done") == ["next"]).await?;
    expect(named(), || format!("{:?}", consumer.handle().health()))?;
    raise(&place, "road.dlt").await?;
    let letter = letter(&kser, "road").await?;
    expect(
        letter.message()?.entrypoint.as_str() == "road.Doomed",
        || format!("{letter:?}"),
    )?;
    letter.keep();
    until("it is not held any more", LONG, || !named()).await?;
    Ok(consumer.stop().await?)
}

async fn replayed(delivery: &str) -> Tested {
    let (place, diary) = (Place::new().with(delivery), Diary::default());
    let kser = small(&place, &["load"], false).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    let run = kser.producer().launch(Haul {}).await?;
    fails(&run, &place, "load").await?;
    raise(&place, "load").await?;
    tokio::time::timeout(LONG, replay(&kser, "load")).await??;
    until("it goes on", LONG, || diary.texts("done").len() == 2).await?;
    expect(diary.texts("done") == ["first", "load"], || diary.output())?;
    let state = run.wait_timeout(LONG).await?;
    expect(state.status == Status::Success, || format!("{state:?}"))?;
    Ok(consumer.stop().await?)
}
