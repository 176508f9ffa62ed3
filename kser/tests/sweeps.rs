//! What a sweep cannot publish does not hold up the rest.

mod common;
#[allow(dead_code, reason = "no test needs all of it")]
mod faulty;

use std::sync::Arc;
use std::time::Duration;

use common::{Diary, Game, note, noting};
use faulty::{Fault, Faulty};
use kser::core::sequencing::Progress;
use kser::core::store::NewRun;
use kser::core::{Clock, Object, Record};
use kser::{
    Connection, Error, MemoryStore, MemoryTransport, Message, Registry, StateStore, Step,
    TaskError, Topic,
};
use tokio::time::sleep;

struct Setup {
    transport: Faulty,
    store: Arc<MemoryStore>,
    kser: Connection,
    diary: Diary,
}

impl Setup {
    async fn new() -> Result<Self, Error> {
        let transport = Faulty::new(MemoryTransport::new());
        let clock = transport.clock();
        let store = Arc::new(MemoryStore::with_clock(clock));
        let kser = kser::connect_with(transport.clone(), Arc::clone(&store)).await?;
        Ok(Self {
            kser: kser.with_clock(clock),
            transport,
            store,
            diary: Diary::default(),
        })
    }

    /// Notes, and an operation of notes.
    fn registry(&self) -> Result<Registry, Error> {
        let game = |game: Game| {
            let notes = game.notes.iter().map(|text| Step::new(note(text)));
            let steps: Vec<_> = notes.collect();
            async move { Ok::<_, TaskError>(steps) }
        };
        noting(&self.diary).operation(game)
    }

    /// Keeps a run that was never published: its launch message is none.
    async fn insert(&self, id: &str, topic: &str, outputs: Vec<Record>) -> Result<(), Error> {
        let now = self.transport.clock().now();
        let mut run = NewRun::new(
            id.into(),
            "test.Bad".into(),
            Topic::new(topic)?,
            b"no message".as_slice().into(),
            String::new(),
            Progress::launched(now),
        );
        run.outputs = outputs;
        self.store.insert(run).await.map(drop)
    }
}

fn record(topic: &str, text: &str) -> Result<Record, Error> {
    let params = Object::new(&note(text))?;
    let message = Message::new(text.into(), "test.Note".into(), params);
    Ok(Record::new(Topic::new(topic)?, Some(message.encode()?)))
}

#[tokio::test(start_paused = true)]
async fn runs_that_cannot_be_published_do_not_hold_up_others() -> Result<(), Error> {
    let setup = Setup::new().await?;
    for number in 0..250 {
        setup
            .insert(&format!("bad {number}"), "test", Vec::new())
            .await?;
    }
    setup.transport.fail(Fault::Silence);
    let game = Game {
        notes: vec!["x".to_owned()],
    };
    let launched = setup.kser.producer().launch(game).await;
    assert!(
        matches!(launched, Err(Error::MaybeSent { .. })),
        "{launched:?}"
    );
    setup.transport.heal();
    let consumer = setup.kser.consumer(setup.registry()?).spawn();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(setup.diary.read(), ["x"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn outputs_that_cannot_be_published_do_not_hold_up_others() -> Result<(), Error> {
    let setup = Setup::new().await?;
    let gone = (0..250).map(|number| record("gone", &number.to_string()));
    setup
        .insert("first", "elsewhere", gone.collect::<Result<_, _>>()?)
        .await?;
    setup
        .insert("second", "elsewhere", vec![record("test", "x")?])
        .await?;
    setup.transport.fail(Fault::Topic("gone"));
    let consumer = setup.kser.consumer(setup.registry()?).spawn();
    sleep(Duration::from_secs(120)).await;
    assert_eq!(setup.diary.read(), ["x"]);
    consumer.stop().await
}

/// Dead letters of outputs are refused in another order than they were written in.
#[tokio::test(start_paused = true)]
async fn letters_of_outputs_that_are_refused_in_any_order_do_no_harm() -> Result<(), Error> {
    let setup = Setup::new().await?;
    let outputs = ["a", "b", "c"].map(|text| record("small", text));
    setup
        .insert(
            "first",
            "elsewhere",
            outputs.into_iter().collect::<Result<_, _>>()?,
        )
        .await?;
    setup.transport.fail(Fault::SmallAndNoLetters("small"));
    let consumer = setup.kser.consumer(setup.registry()?).spawn();
    sleep(Duration::from_secs(60)).await;
    setup.transport.heal();
    setup.kser.producer().send(note("x")).await?;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(setup.diary.read(), ["x"]);
    consumer.stop().await
}
