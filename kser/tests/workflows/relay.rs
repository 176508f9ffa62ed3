//! What a handler sends is kept by the store until it is published, whoever publishes it.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Diary, Note, note};
use crate::faulty::{Deaf, Loss};
use async_trait::async_trait;
use kser::backend::{
    Delivery, Description, Interest, Leave, NotPublished, Record, Room, Settle, Subscription,
    Ticket, TopicSpec, Transport,
};
use kser::consumer::Health;
use kser::memory::{MemoryClock, MemoryStore, MemoryTransport};
use kser::message::Topic;
use kser::run::Timestamp;
use kser::task::Cancellation;
use kser::{Client, Context, Entrypoint, Error, Registry, Status, Step};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

#[derive(Debug, Serialize, Deserialize, Entrypoint)]
#[entrypoint("send.Send")]
struct Send {}

/// A task that sends a note, and the notes that arrive.
fn sending(diary: &Diary) -> Registry {
    let send = |ctx: Context, _: Send| async move { ctx.send(note("sent")).map(|_| ()) };
    let diary = diary.clone();
    let take = move |note: Note| {
        let diary = diary.clone();
        async move { diary.note(note.text) }
    };
    Registry::new().task(send).task(take).build().unwrap()
}

/// A transport whose first delivery of topic `send` cannot be settled and then goes to another member.
#[derive(Debug, Clone)]
struct Outage {
    inner: MemoryTransport,
    happened: Arc<Mutex<bool>>,
}

#[derive(Debug)]
struct Member {
    inner: Box<dyn Subscription>,
    outage: Outage,
}

/// The end of a delivery during an outage: the brokers do not answer, and then the session is over.
#[derive(Debug)]
struct Unsettled {
    ticket: Mutex<Option<Ticket>>,
    revoked: Cancellation,
    tries: Mutex<u32>,
}

#[async_trait]
impl Settle for Unsettled {
    async fn settle(&self, _: u128, _: &[Record]) -> Result<(), Error> {
        let mut tries = self.tries.lock().unwrap();
        *tries += 1;
        if *tries == 1 {
            self.revoked.cancel();
            return Err(Error::Backend {
                backend: "outage",
                temporary: true,
                source: "no answer".into(),
            });
        }
        let _ = self
            .ticket
            .lock()
            .unwrap()
            .take()
            .map(|ticket| ticket.release(None));
        Err(Error::Lost)
    }

    async fn begin(&self, _: u128) -> Result<(), Error> {
        Ok(())
    }

    fn release(&self, _: u128, not_before: Option<Timestamp>, _: u32) {
        let ticket = self.ticket.lock().unwrap().take();
        let _ = ticket.map(|ticket| ticket.release(not_before));
    }
}

#[async_trait]
impl Subscription for Member {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        let mut deliveries = self.inner.receive(room).await?;
        let mut happened = self.outage.happened.lock().unwrap();
        for delivery in &mut deliveries {
            if !*happened && delivery.record.topic.as_str() == "send" {
                *happened = true;
                let revoked = Cancellation::default();
                delivery.revoked = revoked.clone();
                let settle = Arc::new(Unsettled {
                    ticket: Mutex::default(),
                    revoked,
                    tries: Mutex::default(),
                });
                let ticket = Ticket::new(7, Arc::clone(&settle) as Arc<dyn Settle>);
                let ticket = std::mem::replace(&mut delivery.ticket, ticket);
                *settle.ticket.lock().unwrap() = Some(ticket);
            }
        }
        Ok(deliveries)
    }

    fn health(&self) -> Health {
        self.inner.health()
    }

    fn leaver(&self) -> Option<Arc<dyn Leave>> {
        self.inner.leaver()
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        self.inner.close().await
    }
}

#[async_trait]
impl Transport for Outage {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        self.inner.publish(records).await
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        let inner = self.inner.subscribe(interest).await?;
        let outage = self.clone();
        Ok(Box::new(Member { inner, outage }))
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.inner.ensure_topics(topics).await
    }

    async fn describe(&self, topics: &[Topic]) -> Result<Description, Error> {
        self.inner.describe(topics).await
    }
}

/// The end of the step is written, its delivery is lost: only the store still has what the handler sent.
#[tokio::test(start_paused = true)]
async fn what_a_lost_delivery_did_not_publish_is_published_by_a_sweep() {
    let transport = Outage {
        inner: MemoryTransport::new(),
        happened: Arc::default(),
    };
    let clock = transport.inner.clock();
    let store = MemoryStore::with_clock(clock);
    let kser = Client::builder(transport.clone())
        .store(store)
        .clock(clock)
        .build()
        .await
        .unwrap();
    let diary = Diary::default();
    let consumer = kser.consumer(sending(&diary)).spawn();
    let steps = vec![Step::new(Send {})];
    let run = kser.producer().launch_steps("test.Run", steps).await;
    let state = run.unwrap().wait_timeout(Duration::from_secs(60)).await;
    assert_eq!(state.unwrap().status, Status::Success);
    assert!(*transport.happened.lock().unwrap());
    sleep(Duration::from_secs(120)).await;
    assert_eq!(diary.read(), ["sent"]);
    consumer.stop().await.unwrap();
}

async fn over(store: &Deaf, clock: MemoryClock, transport: MemoryTransport) -> Client {
    Client::builder(transport)
        .store(store.clone())
        .clock(clock)
        .build()
        .await
        .unwrap()
}

/// Another worker has ended the step meanwhile, with outputs of its own: those of this attempt are not wanted, and those of
/// the other one are not marked as relayed by this one.
#[tokio::test(start_paused = true)]
async fn a_fenced_attempt_publishes_nothing_and_marks_nothing() {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let store = Deaf::new(MemoryStore::with_clock(clock));
    let kser = over(&store, clock, transport).await;
    let diary = Diary::default();
    let consumer = kser.consumer(sending(&diary)).spawn();
    store.lose(Loss::StepToAnother);
    let steps = vec![Step::new(Send {})];
    let run = kser.producer().launch_steps("test.Run", steps).await;
    let state = run.unwrap().wait_timeout(Duration::from_secs(60)).await;
    assert_eq!(state.unwrap().status, Status::Success);
    sleep(Duration::from_secs(5)).await;
    assert!(diary.read().is_empty(), "{:?}", diary.read());
    sleep(Duration::from_secs(120)).await;
    assert_eq!(
        diary.read(),
        ["of another"],
        "the store keeps what it accepted"
    );
    consumer.stop().await.unwrap();
}
