//! Topics and records that are not as one would like them, on real Kafka.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::place::Place;
use crate::common::process::Setup;
use crate::common::road::{self, Diary, Log, Trip, all_arrive, walk};
use crate::common::{Tested, connect, expect, on_kafka, until, url};
use kser::backend::{Record, Room, Transport as _, UnsettledQuery};
use kser::client::{Clock as _, Routes, SystemClock};
use kser::kafka::KafkaTransport;
use kser::message::Topic;
use kser::run::Timestamp;
use kser::task::task_fn;
use kser::{Context, Entrypoint, Registry, RetryPolicy, Status};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};

/// What is waited for comes sooner, unless it is lost.
const LONG: Duration = Duration::from_secs(90);
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        on_kafka(
            "a_missing_dead_letter_topic_holds_its_record_and_no_other",
            no_dead_letters,
        ),
        on_kafka(
            "a_dead_letter_topic_may_have_fewer_partitions_and_all_are_replayed",
            few_dead_letters,
        ),
        on_kafka(
            "a_letter_that_is_replayed_twenty_times_does_not_grow",
            round_and_round,
        ),
        on_kafka(
            "dead_letters_are_looked_at_while_they_are_discarded",
            looked_at,
        ),
        on_kafka(
            "a_received_record_that_is_larger_than_ours_ends",
            larger_than_ours,
        ),
        on_kafka("a_topic_that_comes_later_is_read_without_a_restart", later),
        on_kafka("topics_that_are_all_missing_are_an_error", all_missing),
        on_kafka("partitions_that_are_added_are_read", more_partitions),
        on_kafka("runs_are_found_by_their_ids_without_a_store", by_id),
        on_kafka(
            "a_offsets_that_expired_are_named_and_all_runs_again",
            expired,
        ),
        on_kafka(
            "s_with_a_store_expired_offsets_run_nothing_again",
            expired_with_store,
        ),
    ]
}

/// Looking moves no partition and takes no letter. `KSER_LETTERS` sets their number.
async fn looked_at() -> Tested {
    let letters = std::env::var("KSER_LETTERS").map_or(300, |count| count.parse().unwrap());
    let place = Place::new();
    place.create("road.dlt", 4);
    let topic = Topic::new(format!("{}road.dlt", place.prefix)).unwrap();
    let transport = KafkaTransport::connect(&format!("kafka://{}", test_services::kafka())).await?;
    for from in (0..letters).step_by(1000) {
        let numbers = from..letters.min(from + 1000);
        let text = |number| format!("{number:01000}");
        let record = |number| Record::new(topic.clone(), Some(text(number).into()));
        transport.publish(numbers.map(record).collect()).await?;
    }
    let (inspect, group) = (
        transport.inspect().unwrap(),
        format!("{}kser.road.dlt", place.prefix),
    );
    let query = UnsettledQuery::new(&group, topic.clone());
    let look = async || {
        let mut view = inspect.unsettled(query.clone()).await?;
        let mut shown = BTreeSet::new();
        loop {
            let page = view.next(Room::records(1000)).await?;
            if page.is_empty() {
                return Ok::<_, kser::Error>(shown);
            }
            shown.extend(page.into_iter().map(|shown| shown.place));
        }
    };
    let before = tokio::time::Instant::now();
    let all = look().await?;
    println!("{} letters in {:?}", all.len(), before.elapsed());
    expect(all.len() == letters, || all.len().to_string())?;
    let kser = kser::connect(&place.url()).await?;
    let mut session = kser.dead_letters("road").await?;
    let (mut taken, mut shown, keep) = (0, letters, letters / 3);
    while taken < letters - keep {
        let letter = tokio::time::timeout(LONG, session.next()).await??;
        // A rebalance would take the letter from the session, and fail its settle.
        letter.discard().await?;
        taken += 1;
        if taken % (letters / 3) == 0 {
            let left = look().await?.len();
            expect(left <= shown && left >= letters - taken, || {
                left.to_string()
            })?;
            shown = left;
        }
    }
    session.close().await?;
    let left = look().await?;
    expect(left.len() == keep && left.is_subset(&all), || {
        format!("{keep}, {}", left.len())
    })?;
    let progress = inspect.progress(&group, &topic).await?;
    let unsettled: u64 = progress.iter().map(|of| of.unsettled).sum();
    expect(unsettled == keep as u64, || format!("{progress:?}"))
}

#[derive(Debug, Serialize, Deserialize, Entrypoint)]
#[entrypoint("road.Doomed")]
struct Doomed {
    name: String,
}

/// The tasks of the road, and one that fails.
fn registry(diary: &Diary) -> Registry {
    let of_doomed = diary.clone();
    let doomed = task_fn(move |_: Context, doomed: Doomed| {
        of_doomed.note("failed", &doomed.name);
        async move { Err::<(), _>(kser::TaskError::new("Doomed", doomed.name)) }
    });
    let doomed = doomed.with_retry(RetryPolicy::never());
    road::registry(diary.clone())
        .into_builder()
        .task(doomed)
        .build()
        .unwrap()
}

fn doomed(name: impl Into<String>) -> Doomed {
    Doomed { name: name.into() }
}

/// Case 9: what cannot be a dead letter is held, and the others go on. Once there is a topic, so does it.
async fn no_dead_letters() -> Tested {
    let place = Place::new();
    place.create("road", 3);
    let kser = kser::connect(&place.url()).await?;
    let diary = Diary::default();
    let consumer = kser.consumer(registry(&diary)).spawn();
    let producer = kser.producer();
    for n in 0..60 {
        if n % 20 == 0 {
            producer
                .send(doomed(format!("{n}")))
                .with_key(format!("{n}"))
                .await?;
        }
        producer.send(walk(format!("{n}"), 0)).await?;
    }
    let walked = || diary.texts("done").len() == 60 && diary.texts("failed").len() == 3;
    until("the others run", LONG, walked).await?;
    place.create("road.dlt", 1);
    let mut letters = kser.dead_letters("road").await?;
    for _ in 0..3 {
        tokio::time::timeout(LONG, letters.next())
            .await??
            .discard()
            .await?;
    }
    expect(diary.texts("failed").len() == 3, || {
        "it ran again".to_owned()
    })?;
    letters.close().await?;
    Ok(consumer.stop().await?)
}

/// Case 9: the dead letter has the partition that it came from, and a replay of all replays each once.
async fn few_dead_letters() -> Tested {
    let place = Place::new();
    place.create("road", 8);
    place.create("road.dlt", 1);
    let kser = kser::connect(&place.url()).await?;
    let diary = Diary::default();
    let consumer = kser.consumer(registry(&diary)).spawn();
    for n in 0..40 {
        let send = kser.producer().send(doomed(format!("{n}")));
        send.with_key(format!("{n}")).await?;
    }
    until("all have failed", LONG, || {
        diary.texts("failed").len() == 40
    })
    .await?;
    let mut letters = kser.dead_letters("road").await?;
    let mut replayed = 0;
    // On a slow machine some come after the first call, which waits for two seconds.
    let all = async {
        while replayed < 40 {
            let report = letters.replay_all(|letter| letter.replays() == 0).await?;
            expect(report.failed.is_empty() && report.untried == 0, || {
                format!("{report:?}")
            })?;
            replayed += report.replayed;
        }
        Tested::Ok(())
    };
    tokio::time::timeout(LONG, all).await??;
    expect(replayed == 40, || format!("{replayed} replays"))?;
    letters.close().await?;
    let mut letters = kser.dead_letters("road").await?;
    let mut origins = BTreeSet::new();
    for _ in 0..40 {
        let letter = tokio::time::timeout(LONG, letters.next()).await??;
        let (topic, origin) = letter.origin().ok_or("no origin")?;
        expect(topic == format!("{}road", place.prefix), || topic.clone())?;
        expect(letter.replays() == 1, || format!("{letter:?}"))?;
        origins.insert((origin.partition, origin.offset));
        letter.discard().await?;
    }
    let partitions: BTreeSet<_> = origins.iter().map(|(partition, _)| partition).collect();
    expect(origins.len() == 40 && partitions.len() == 8, || {
        format!("{origins:?}")
    })?;
    expect(diary.texts("failed").len() == 80, || {
        format!("{} attempts", diary.texts("failed").len())
    })?;
    letters.close().await?;
    Ok(consumer.stop().await?)
}

/// Case 10: fail, dead letter, replay, twenty times.
async fn round_and_round() -> Tested {
    let place = Place::new();
    let transport = KafkaTransport::connect(&format!("kafka://{}", test_services::kafka())).await?;
    let routes = Routes::new().with_prefix(&*place.prefix)?;
    let kser = kser::Client::builder(transport.clone()).routes(routes);
    let kser = kser.build().await?;
    let diary = Diary::default();
    kser.ensure_topics(&registry(&diary), Some(2)).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    let payload = r#"{"uuid": "u", "entrypoint": "road.Doomed", "params": {"name": "x"}}"#;
    let mut record = Record::new(
        Topic::new(format!("{}road", place.prefix))?,
        Some(payload.into()),
    );
    record = record.with_key("key");
    let users = [("z", Some("1")), ("a", None), ("z", Some("2"))];
    record.headers = users
        .map(|(name, value)| (name.to_owned(), value.map(Into::into)))
        .into();
    transport.publish(vec![record.clone()]).await?;
    let mut letters = kser.dead_letters("road").await?;
    let (mut first, mut size) = (None, 0);
    for round in 1..=20 {
        let letter = tokio::time::timeout(LONG, letters.next()).await??;
        let found = letter.record();
        expect(found.headers[..3] == record.headers[..], || {
            format!("{:?}", found.headers)
        })?;
        expect(
            found.payload == record.payload && found.key == record.key,
            || format!("{found:?}"),
        )?;
        expect(letter.attempts() == 1, || {
            format!("{} attempts", letter.attempts())
        })?;
        let bytes: usize = found
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.len()))
            .sum();
        match (&first, round) {
            (None, _) => first = letter.origin(),
            // The first letter was not replayed.
            (Some(_), 2) => size = bytes,
            (Some(origin), _) => {
                expect(letter.origin().as_ref() == Some(origin), || {
                    "another origin".to_owned()
                })?;
                expect(bytes <= size + 2, || {
                    format!("{bytes} bytes of headers, {size} at first")
                })?;
            }
        }
        letter.replay().await?;
    }
    until("it ran", LONG, || diary.texts("failed").len() == 21).await?;
    letters.close().await?;
    Ok(consumer.stop().await?)
}

/// The limit of Kafka's topics leaves room for records that are larger than those that kser creates.
async fn larger_than_ours() -> Tested {
    let (place, diary) = (Place::new(), Diary::default());
    let kser = connect(&place.url(), &registry(&diary), 1).await?;
    let consumer = kser.consumer(registry(&diary)).spawn();
    let message = |name: &str| {
        format!(r#"{{"uuid": "u", "entrypoint": "road.Doomed", "params": {{"name": "{name}"}}}}"#)
    };
    let name = "x".repeat(1_048_212 - message("").len());
    let topic = Topic::new(format!("{}road", place.prefix))?;
    let record = Record::new(topic, Some(message(&name).into()));
    expect(record.size() > Record::LARGEST, || "not larger".to_owned())?;
    let url = format!("kafka://{}", test_services::kafka());
    let transport = KafkaTransport::connect(&url).await?;
    transport.publish(vec![record.clone()]).await?;
    let mut letters = kser.dead_letters("road").await?;
    let letter = tokio::time::timeout(LONG, letters.next()).await??;
    expect(letter.record().payload == record.payload, || {
        "cut".to_owned()
    })?;
    // What is known of its end goes with it.
    expect(letter.error().is_some(), || "no error".to_owned())?;
    letter.discard().await?;
    let settled = || {
        let health = consumer.handle().health();
        health.unsettled.is_empty() && health.transport.iter().all(|health| health.lag == Some(0))
    };
    until("nothing is held", LONG, settled).await?;
    letters.close().await?;
    Ok(consumer.stop().await?)
}

/// Case 13.
async fn later() -> Tested {
    let place = Place::new();
    place.create("road", 1);
    let kser = kser::connect(&place.url()).await?;
    let diary = Diary::default();
    let consumer = kser
        .consumer(registry(&diary))
        .with_topics(["road", "later"])?
        .spawn();
    kser.producer().send(walk("a", 0)).await?;
    until("a is read at once", Duration::from_secs(5), || {
        diary.texts("done") == ["a"]
    })
    .await?;
    let missing = || {
        let health = consumer.handle().health().transport;
        let mut missing = health.iter().flat_map(|health| &health.missing);
        missing.any(|topic| topic.as_str() == format!("{}later", place.prefix))
    };
    until("the health names the other", LONG, missing).await?;
    place.create("later", 1);
    kser.producer()
        .send(walk("b", 0))
        .with_topic("later")
        .await?;
    until("b is read", Duration::from_secs(8), || {
        diary.texts("done") == ["a", "b"]
    })
    .await?;
    until("the health names none", LONG, || !missing()).await?;
    Ok(consumer.stop().await?)
}

async fn all_missing() -> Tested {
    let place = Place::new();
    let kser = kser::connect(&place.url()).await?;
    let consumer = kser
        .consumer(registry(&Diary::default()))
        .with_topics(["a", "b"])?;
    let error = consumer.run().await.err().ok_or("it runs")?;
    expect(error.to_string().contains("`ensure_topics`"), || {
        error.to_string()
    })?;
    let error = kser
        .producer()
        .send(walk("a", 0))
        .await
        .err()
        .ok_or("it is sent")?;
    expect(error.to_string().contains("`ensure_topics`"), || {
        error.to_string()
    })
}

/// Case 11: from 3 partitions to 12 while operations are launched.
async fn more_partitions() -> Tested {
    let place = Place::new();
    let diary = Diary::default();
    let kser = connect(&place.url(), &registry(&diary), 3).await?;
    let consumers = [(); 2].map(|()| kser.consumer(registry(&diary)).spawn());
    let mut runs = Vec::new();
    for trip in 0..400 {
        runs.push(kser.producer().launch(Trip { trip, ms: 3 }).await?);
        if trip == 200 {
            let (admin, topic) = (place.admin.clone(), format!("{}road", place.prefix));
            tokio::task::spawn_blocking(move || admin.add_partitions(&topic, 12)).await?;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    all_arrive(&runs, LONG).await?;
    let assigned = || {
        let health = consumers
            .iter()
            .flat_map(|consumer| consumer.handle().health().transport);
        health.map(|health| health.assigned.len()).sum::<usize>() == 12
    };
    until("the new ones are read", LONG, assigned).await?;
    for consumer in consumers {
        consumer.stop().await?;
    }
    let mut log = Log::default();
    log.add(diary.said("ran"));
    log.in_order(400)
}

/// A process that did not launch a run waits for it, and learns that another was never launched.
async fn by_id() -> Tested {
    let (url, diary) = (url(""), Diary::default());
    let kser = connect(&url, &registry(&diary), 3).await?;
    let hour = Duration::from_secs(3600);
    let (now, consumer) = (
        SystemClock::new().wall(),
        kser.consumer(registry(&diary)).spawn(),
    );
    let earlier = Timestamp::from_millis(now.as_millis() - 60_000);
    let ended = kser.producer().launch(Trip { trip: 1, ms: 1 }).await?;
    ended.wait().await?;
    let running = kser.producer().launch(Trip { trip: 2, ms: 500 }).await?;
    let runs = kser::connect(&url).await?.runs();
    for run in [&ended, &running] {
        let found = runs.wait_since(run.id(), earlier).await?;
        expect(found.status == Status::Success, || found.to_string())?;
    }
    for (id, from) in [(&"none".into(), earlier), (ended.id(), now + hour)] {
        let missing = tokio::time::timeout(LONG, runs.wait_since(id, from)).await?;
        expect(
            matches!(missing, Err(kser::Error::UnknownRun { .. })),
            || format!("{missing:?}"),
        )?;
    }
    consumer.stop().await?;
    Ok(())
}

/// Case 12, without a store.
async fn expired() -> Tested {
    let place = Place::new();
    let kser = connect(&place.url(), &registry(&Diary::default()), 1).await?;
    for n in 0..5 {
        kser.producer().send(walk(format!("{n}"), 0)).await?;
    }
    let setup = Setup::new(&place.url());
    for _ in 0..2 {
        let mut process = setup.start()?;
        until("all run", LONG, || process.texts("done").len() == 5).await?;
        process.stop().await?;
        let said = format!(
            "has no committed offset in {}road [0]: the group is new, or",
            place.prefix
        );
        let said = process.output().contains(&said);
        expect(
            said && process.output().contains("`auto.offset.reset` is earliest"),
            || process.output(),
        )?;
        place.expire().await?;
    }
    let mut strict = Setup::new(&format!("{}&auto.offset.reset=error", place.url())).start()?;
    strict.end(LONG).await?;
    let said = strict.output().contains("has no offset that can be used");
    expect(said && strict.texts("ran").is_empty(), || strict.output())
}

/// Case 12: the store knows what is done.
async fn expired_with_store() -> Tested {
    let place = Place::new();
    let kser = kser::Client::builder_from_url(place.url())
        .store(kser::memory::MemoryStore::new())
        .build()
        .await?;
    let diary = Diary::default();
    kser.ensure_topics(&registry(&diary), Some(1)).await?;
    for trip in 0..2 {
        let consumer = kser.consumer(registry(&diary)).spawn();
        let run = kser.producer().launch(Trip { trip, ms: 0 }).await?;
        all_arrive(&[run], LONG).await?;
        consumer.stop().await?;
        place.expire().await?;
    }
    let ran = diary.texts("ran");
    expect(ran.len() == 8, || format!("{ran:?}"))
}
