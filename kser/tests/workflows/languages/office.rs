use std::sync::{Arc, Mutex};
use std::time::Duration;

use kser::backend::{Interest, NotPublished, Record, Room, Subscription, Transport};
use kser::client::Mode;
use kser::dead_letter::DeadLetter;
use kser::memory::{MemoryStore, MemoryTransport};
use kser::message::{Message, Raw, Topic};
use kser::run::RunState;
use kser::{Client, Context, Entrypoint, Error, Outcome, Registry, Run, Step, TaskError};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

/// Leaves its fields as its retval.
#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("test.First")]
pub(crate) struct First(pub(crate) serde_json::Value);

/// Tells what it was given.
#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("test.Last")]
pub(crate) struct Last {
    pub(crate) price: Raw,
}

/// An operation of two steps.
#[derive(Serialize, Deserialize, Entrypoint)]
#[entrypoint("test.Order")]
pub(crate) struct Order {
    #[serde(default)]
    pub(crate) order: i64,
}

/// What the step behind the external one was given: its forwarded outcome, its params, and what its metadata have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Given {
    pub(crate) previous: Outcome,
    pub(crate) price: String,
    pub(crate) tenant: Option<String>,
    pub(crate) traceparent: Option<String>,
}

/// A group outside that reads the topic `outside`, beside a consumer of ours that has the steps before and behind.
pub(crate) struct Office {
    pub(crate) kser: Client,
    transport: MemoryTransport,
    /// In a lock, so that an office can be shared.
    subscription: tokio::sync::Mutex<Box<dyn Subscription>>,
    last: Arc<Mutex<Vec<Given>>>,
    consumer: kser::consumer::RunningConsumer,
}

impl Office {
    pub(crate) async fn open(mode: Mode) -> Result<Self, Error> {
        let transport = MemoryTransport::new();
        let clock = transport.clock();
        let kser = Client::builder(transport.clone()).clock(clock);
        let kser = match mode {
            Mode::Stored => kser.store(MemoryStore::with_clock(clock)),
            _ => kser,
        };
        let kser = kser.build().await?;
        let last: Arc<Mutex<Vec<Given>>> = Arc::default();
        let told = Arc::clone(&last);
        let first = |first: First| async move { Outcome::json(&first.0).unwrap() };
        let behind = move |ctx: Context, last: Last| {
            told.lock().unwrap().push(Given {
                previous: ctx.previous().clone(),
                price: last.price.as_str().to_owned(),
                traceparent: ctx.traceparent(),
                tenant: ctx.metadata("tenant").map(|raw| raw.as_str().to_owned()),
            });
            async { "the end" }
        };
        let build = |order: Order| async move {
            let step = || Step::new(First(serde_json::json!({"order": order.order})));
            Ok::<_, TaskError>(vec![step(), step()])
        };
        let registry = Registry::new()
            .task(first)
            .task(behind)
            .operation(build)
            .build()?;
        let consumer = kser.consumer(registry).spawn();
        let interest = Interest::group("office", vec![Topic::new("outside")?]);
        Ok(Self {
            subscription: transport.subscribe(interest).await?.into(),
            kser,
            transport,
            last,
            consumer,
        })
    }

    /// Launches three steps, of which the second is an external one that takes a minute and is sent at most so often.
    pub(crate) async fn launch(&self, attempts: u32) -> Result<Run, Error> {
        let price = Raw::from_slice(b"2.50")?;
        let ask = Step::named("outside.Ask", &serde_json::json!({"q": 1}));
        let steps = vec![
            Step::new(First(serde_json::json!({"a": 1, "both": "ours"}))),
            ask.external(Duration::from_secs(60))
                .with_attempts(attempts),
            Step::new(Last { price }),
        ];
        let launch = self.kser.producer().launch_steps("test.External", steps);
        launch.with_metadata("tenant", "Zoë").await
    }

    /// Waits for the message of the step, and commits it.
    pub(crate) async fn message(&mut self) -> Result<Message, Error> {
        Message::decode(self.record().await?.payload.as_deref().unwrap())
    }

    /// Waits for the record of the step, and commits it.
    pub(crate) async fn record(&mut self) -> Result<Record, Error> {
        let subscription = self.subscription.get_mut();
        let received = subscription.receive(Room::records(1));
        let received = timeout(Duration::from_secs(150), received).await;
        let delivery = received.expect("the step is sent")?.remove(0);
        let _ = delivery.ticket.settle(Vec::new()).await;
        Ok(delivery.record)
    }

    /// Sees the events of all runs from now on.
    pub(crate) async fn events(&self) -> Result<Box<dyn Subscription>, Error> {
        let interest = Interest::everything(vec![Topic::new("kser.events")?]);
        self.transport.subscribe(interest).await
    }

    /// Says whether no message of a step comes within 10 s.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        let subscription = self.subscription.get_mut();
        let received = subscription.receive(Room::records(1));
        timeout(Duration::from_secs(10), received).await.is_err()
    }

    /// Sends a report as another language writes it.
    pub(crate) async fn report(&self, run: &Run, payload: &str) -> Result<(), Error> {
        self.send(Some(run.id().as_str()), payload).await
    }

    /// Sends a value to the topic of the run, with any key or none.
    pub(crate) async fn send(&self, key: Option<&str>, payload: &str) -> Result<(), Error> {
        let mut record = Record::new(Topic::new("test")?, Some(payload.to_owned().into()));
        record.key = key.map(|key| key.to_owned().into());
        self.publish(record).await
    }

    /// Publishes a record as it is.
    pub(crate) async fn publish(&self, record: Record) -> Result<(), Error> {
        let published = self.transport.publish(vec![record]).await;
        published.map_err(NotPublished::into_error)
    }

    /// Waits at most 30 s for the end of a run. `None` if it goes on.
    pub(crate) async fn end(&self, run: &Run) -> Result<Option<RunState>, Error> {
        match run.wait_timeout(Duration::from_secs(30)).await {
            Ok(state) => Ok(Some(state)),
            Err(Error::TimedOut { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the last step was given, each time that it ran.
    pub(crate) fn last(&self) -> Vec<Given> {
        self.last.lock().unwrap().clone()
    }

    /// Does something with the only dead letter of the topic that is reported to.
    pub(crate) async fn letter(
        &self,
    ) -> Result<(kser::dead_letter::DeadLetters, DeadLetter), Error> {
        let mut letters = self.kser.dead_letters("test").await?;
        let mut list = letters.list(10).await?;
        assert_eq!(list.len(), 1, "{list:?}");
        Ok((letters, list.remove(0)))
    }

    pub(crate) async fn close(self) -> Result<(), Error> {
        self.subscription.into_inner().close().await?;
        self.consumer.stop().await
    }
}

/// A report of a step, with these texts as its result and its metadata.
pub(crate) fn report(uuid: &str, result: &str, metadata: &str) -> String {
    format!(
        r#"{{"uuid":"{uuid}","entrypoint":"kser.StepEnded","params":{{}},"result":{result},"metadata":{metadata}}}"#
    )
}

/// The metadata of a message as text.
pub(crate) fn metadata(message: &Message) -> Result<serde_json::Value, Error> {
    let message: serde_json::Value = serde_json::from_slice(&message.encode()?).unwrap();
    Ok(message["metadata"].clone())
}

/// The result of a task that succeeded, and left these fields.
pub(crate) fn success(retval: &str) -> String {
    format!(r#"{{"retcode":0,"retval":{retval}}}"#)
}

/// The result of a task that failed.
pub(crate) const FAILURE: &str = r#"{"retcode":500,"stderr":"no stock","retval":{"error":{"name":"OutOfStock","code":500,"message":"no stock"}}}"#;
