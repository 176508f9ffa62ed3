//! Records that come late: of a run that was purged, of an earlier run of the same id, of a run that is unknown, and of states
//! that a restored backup does not have.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use kser::backend::{Interest, Record, Room, Subscription, Transport as _};
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::Topic;
use kser::{Client, Context, Error, Operation, Status, Step, TaskError};
use tokio::time::sleep;

use crate::common::{Diary, Game, note, noting};

const SECOND: Duration = Duration::from_secs(1);
const QUARTER: Duration = Duration::from_secs(15 * 60);

struct Setup {
    transport: MemoryTransport,
    kser: Client,
    diary: Diary,
    records: Box<dyn Subscription>,
    letters: Box<dyn Subscription>,
}

async fn setup() -> Setup {
    setup_with(&MemoryStore::new()).await
}

async fn setup_with(store: &MemoryStore) -> Setup {
    let transport = MemoryTransport::new();
    let kser = Client::builder(transport.clone()).store(store.clone());
    let kser = kser.clock(transport.clock()).build().await;
    let topic = |name: &str| Interest::everything(vec![Topic::new(name).unwrap()]);
    Setup {
        records: transport.subscribe(topic("test")).await.unwrap(),
        letters: transport.subscribe(topic("test.dlt")).await.unwrap(),
        transport,
        kser: kser.unwrap(),
        diary: Diary::default(),
    }
}

/// The records of a topic so far.
async fn read(from: &mut Box<dyn Subscription>) -> Vec<Record> {
    let mut records = Vec::new();
    while let Ok(Ok(deliveries)) =
        tokio::time::timeout(SECOND, from.receive(Room::records(100))).await
    {
        for delivery in deliveries {
            records.push(delivery.record);
            let _ = delivery.ticket.settle(Vec::new()).await;
        }
    }
    records
}

fn text(record: &Record) -> String {
    String::from_utf8(record.payload.clone().unwrap().to_vec()).unwrap()
}

/// The record with each `from` in its message replaced.
fn edited(record: &Record, from: &str, to: &str) -> Record {
    let text = text(record);
    assert!(text.contains(from), "{from}: {text}");
    let mut record = record.clone();
    record.payload = Some(text.replace(from, to).into());
    record
}

fn steps(texts: &[&str]) -> Vec<Step> {
    texts.iter().map(|text| Step::new(note(text))).collect()
}

/// Plays a game: a step for each note.
struct Play(Diary);

impl Operation for Play {
    type Params = Game;

    async fn build_tasks(&self, _: &Context, game: Game) -> Result<Vec<Step>, TaskError> {
        self.0.note("built");
        let texts: Vec<&str> = game.notes.iter().map(String::as_str).collect();
        Ok(steps(&texts))
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_record_of_a_purged_run_changes_nothing() -> Result<(), Error> {
    let mut setup = setup().await;
    let consumer = setup.kser.consumer(noting(&setup.diary)).spawn();
    let launch = setup
        .kser
        .producer()
        .launch_steps("test.Run", steps(&["a", "b"]));
    let run = launch.with_id("x").await?;
    run.result().await?;
    let records = read(&mut setup.records).await;
    assert_eq!(records.len(), 1, "the steps began in a row");
    assert!(run.purge().await?);
    setup.transport.publish(records).await.unwrap();
    sleep(QUARTER).await;
    assert_eq!(setup.diary.read(), ["a", "b"], "neither ran again");
    let copies = read(&mut setup.records).await;
    assert_eq!(copies.len(), 1, "it does not come again");
    let letters = read(&mut setup.letters).await;
    assert!(letters.is_empty(), "{letters:?}");
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_late_record_of_an_earlier_run_of_the_id_changes_nothing() -> Result<(), Error> {
    let mut setup = setup().await;
    let launch = |texts: &[&str]| {
        let launch = setup.kser.producer().launch_steps("test.Run", steps(texts));
        launch.with_id("x")
    };
    let old = launch(&["old"]).await?;
    old.cancel().await?;
    let records = read(&mut setup.records).await;
    assert!(old.purge().await?);
    let new = launch(&["new"]).await?;
    assert_eq!(records.len(), 1);
    // The late record comes before that of the new run, and after it.
    setup.transport.publish(records.clone()).await.unwrap();
    let consumer = setup.kser.consumer(noting(&setup.diary)).spawn();
    assert_eq!(new.result().await?.message(), "new");
    setup.transport.publish(records).await.unwrap();
    sleep(QUARTER).await;
    assert_eq!(setup.diary.read(), ["new"]);
    let letters = read(&mut setup.letters).await;
    assert!(letters.is_empty(), "{letters:?}");
    consumer.stop().await
}

/// The message has no `metadata.kser`, as one of the Python library: the consumer inserts its run.
#[tokio::test(start_paused = true)]
async fn a_launch_message_that_comes_again_after_a_purge_begins_no_run() -> Result<(), Error> {
    let mut setup = setup().await;
    let registry = noting(&setup.diary).into_builder();
    let registry = registry.operation(Play(setup.diary.clone())).build()?;
    let consumer = setup.kser.consumer(registry).spawn();
    let message = r#"{"uuid":"x","entrypoint":"test.Game","params":{"notes":["a"]}}"#;
    let launch = Record::new(Topic::new("test").unwrap(), Some(message.into())).with_key("x");
    setup.transport.publish(vec![launch.clone()]).await.unwrap();
    sleep(SECOND).await;
    let id = "x".into();
    assert_eq!(setup.kser.runs().status(&id).await?.status, Status::Success);
    assert!(setup.kser.runs().purge(&id).await?);
    setup.transport.publish(vec![launch]).await.unwrap();
    sleep(QUARTER).await;
    assert_eq!(setup.diary.read(), ["built", "a"]);
    let gone = setup.kser.runs().status(&id).await;
    assert!(matches!(gone, Err(Error::UnknownRun { .. })), "{gone:?}");
    let letters = read(&mut setup.letters).await;
    assert!(letters.is_empty(), "{letters:?}");
    consumer.stop().await
}

/// A store that never had the run may be a restored backup: its records wait for ten minutes.
#[tokio::test(start_paused = true)]
async fn a_record_of_an_unknown_run_waits_and_becomes_a_dead_letter() -> Result<(), Error> {
    let mut setup = setup().await;
    let launch = setup
        .kser
        .producer()
        .launch_steps("test.Run", steps(&["a"]));
    let run = launch.with_id("x").await?;
    run.cancel().await?;
    let records = read(&mut setup.records).await;
    let unknown = edited(&records[0], "\"x\"", "\"unknown\"");
    assert!(run.purge().await?);
    let consumer = setup.kser.consumer(noting(&setup.diary)).spawn();
    setup.transport.publish(vec![unknown]).await.unwrap();
    sleep(Duration::from_secs(9 * 60)).await;
    assert!(read(&mut setup.letters).await.is_empty());
    sleep(Duration::from_secs(3 * 60)).await;
    let letters = read(&mut setup.letters).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(setup.diary.read().is_empty());
    consumer.stop().await
}

/// The client that launches has another transport, so that the record of the step is not there, as its store is not where it
/// was before the backup was restored.
#[tokio::test(start_paused = true)]
async fn a_record_that_is_ahead_of_its_row_waits_and_begins_nothing() -> Result<(), Error> {
    let store = MemoryStore::new();
    let (before, after) = (setup_with(&store).await, setup_with(&store).await);
    let (mut before, mut after) = (before, after);
    let launch = before
        .kser
        .producer()
        .launch_steps("test.Run", steps(&["a"]));
    let run = launch.with_id("x").await?;
    let record = read(&mut before.records).await.remove(0);
    // It was written from a later state than that of the backup, at the same step.
    let ahead = edited(&record, "\"version\":3", "\"version\":9");
    let ahead = edited(&ahead, "\"text\":\"a\"", "\"text\":\"ahead\"");
    // It was written from a state of the same version that the backup does not have.
    let stamp = text(&record);
    let stamp = stamp.split("\"stamp\":").nth(1).unwrap();
    let stamp = stamp.split([',', '}']).next().unwrap();
    let other = edited(&record, &format!("\"stamp\":{stamp}"), "\"stamp\":17");
    let other = edited(&other, "\"text\":\"a\"", "\"text\":\"other\"");
    after.transport.publish(vec![ahead, other]).await.unwrap();
    let consumer = after.kser.consumer(noting(&after.diary)).spawn();
    sleep(30 * SECOND).await;
    assert!(after.diary.read().is_empty(), "{:?}", after.diary.read());
    // A sweep publishes the step as the backup has it.
    assert_eq!(run.result().await?.message(), "a");
    sleep(QUARTER).await;
    assert_eq!(after.diary.read(), ["a"]);
    let letters = read(&mut after.letters).await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(text(&letters[0]).contains("ahead"));
    consumer.stop().await
}
