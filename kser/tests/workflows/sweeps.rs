//! What a sweep cannot publish does not hold up the rest.

use std::sync::Arc;
use std::time::Duration;

use crate::common::{Diary, Game, note, noting};
use crate::faulty::{Deaf, Fault, Faulty, Loss};
use kser::backend::sequencing::Progress;
use kser::backend::store::NewRun;
use kser::backend::{Record, StateStore};
use kser::client::Clock;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::{Message, Object, Topic};
use kser::{Client, Error, Registry, Step, TaskError};
use tokio::time::sleep;

struct Setup {
    transport: Faulty,
    store: Arc<Deaf>,
    kser: Client,
    diary: Diary,
}

impl Setup {
    async fn new() -> Result<Self, Error> {
        let transport = Faulty::new(MemoryTransport::new());
        let clock = transport.clock();
        let store = Arc::new(Deaf::new(MemoryStore::with_clock(clock)));
        let kser = Client::builder(transport.clone()).store(Arc::clone(&store));
        Ok(Self {
            kser: kser.clock(clock).build().await?,
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
        noting(&self.diary).into_builder().operation(game).build()
    }

    /// Launches operations whose messages get lost.
    async fn lose(
        &self,
        launches: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), Error> {
        self.transport.fail(Fault::Silence);
        for (id, text) in launches {
            let launch = self.kser.producer().launch(Game { notes: vec![text] });
            let launched = launch.with_id(id).await;
            assert!(
                matches!(launched, Err(Error::MaybeSent { .. })),
                "{launched:?}"
            );
        }
        self.transport.heal();
        Ok(())
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
    setup.lose([("good".to_owned(), "x".to_owned())]).await?;
    let consumer = setup.kser.consumer(setup.registry()?).spawn();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(setup.diary.read(), ["x"]);
    consumer.stop().await
}

/// What fails in one run does not end the look at the others of its topic, also when it lasts.
#[tokio::test(start_paused = true)]
async fn runs_that_fail_each_time_do_not_hold_up_others() -> Result<(), Error> {
    let setup = Setup::new().await?;
    let bad = (0..350).map(|number| (format!("bad {number}"), "bad".to_owned()));
    let good = (0..3).map(|number| (format!("good {number}"), "x".to_owned()));
    setup.lose(bad.chain(good)).await?;
    setup.store.lose(Loss::Bad);
    let consumer = setup.kser.consumer(setup.registry()?).spawn();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(setup.diary.read(), ["x", "x", "x"]);
    // Once the store writes them, they run, too.
    setup.store.lose(Loss::Nothing);
    sleep(Duration::from_secs(300)).await;
    assert_eq!(setup.diary.read().len(), 353);
    consumer.stop().await
}

/// As in an outage in which each call fails only after a timeout.
#[tokio::test(start_paused = true)]
async fn runs_that_fail_slowly_do_not_hold_up_outputs() -> Result<(), Error> {
    let setup = Setup::new().await?;
    let bad = (0..300).map(|number| (format!("bad {number}"), "bad".to_owned()));
    setup.lose(bad).await?;
    setup.store.lose(Loss::BadAndSlow);
    let consumer = setup.kser.consumer(setup.registry()?).spawn();
    // The first sweep, which finds no run that is due, is over. A look at all of these runs takes 50 minutes.
    sleep(Duration::from_secs(200)).await;
    let output = vec![record("test", "x")?];
    setup.insert("first", "elsewhere", output).await?;
    sleep(Duration::from_secs(400)).await;
    assert_eq!(setup.diary.read(), ["x"]);
    consumer.stop().await
}

/// The list of the runs that are due has all that is needed to publish them.
#[tokio::test(start_paused = true)]
async fn a_sweep_reads_no_run_by_itself() -> Result<(), Error> {
    let setup = Setup::new().await?;
    let lost = (0..200).map(|number| (format!("run {number}"), "x".to_owned()));
    setup.lose(lost).await?;
    let before = setup.store.reads();
    let consumer = setup.kser.consumer(setup.registry()?).spawn();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(setup.diary.read().len(), 200);
    let reads = setup.store.reads() - before;
    assert!(reads < 20, "{reads} reads");
    consumer.stop().await
}

/// Each has claimed the outputs that it publishes.
#[tokio::test(start_paused = true)]
async fn two_clients_over_a_store_publish_an_output_once() -> Result<(), Error> {
    let setup = Setup::new().await?;
    setup
        .insert("first", "elsewhere", vec![record("test", "x")?])
        .await?;
    setup.transport.fail(Fault::Slow);
    let other = Client::builder(setup.transport.clone()).store(Arc::clone(&setup.store));
    let other = other.clock(setup.transport.clock()).build().await?;
    let consumers = [
        setup.kser.consumer(setup.registry()?).spawn(),
        other.consumer(setup.registry()?).spawn(),
    ];
    sleep(Duration::from_secs(120)).await;
    assert_eq!(setup.diary.read(), ["x"]);
    for consumer in consumers {
        consumer.stop().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn two_consumers_of_a_connection_publish_an_output_once() -> Result<(), Error> {
    let setup = Setup::new().await?;
    setup
        .insert("first", "elsewhere", vec![record("test", "x")?])
        .await?;
    setup.transport.fail(Fault::Slow);
    let consumers = [
        setup.kser.consumer(setup.registry()?).spawn(),
        setup.kser.consumer(setup.registry()?).spawn(),
    ];
    sleep(Duration::from_secs(120)).await;
    assert_eq!(setup.diary.read(), ["x"]);
    for consumer in consumers {
        consumer.stop().await?;
    }
    Ok(())
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
