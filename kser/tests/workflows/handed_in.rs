//! Deliveries that are handed in to a transport, which reports their results later.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use crate::common::{Diary, Double, Note, note};
use async_trait::async_trait;
use kser::backend::{
    Delivery, Description, EndedDelivery, HandIn, Interest, Leave, NotPublished, Record, Room,
    Settle, Subscription, Ticket, TopicSpec, Transport,
};
use kser::consumer::Health;
use kser::memory::MemoryTransport;
use kser::message::Topic;
use kser::run::Timestamp;
use kser::{Client, Context, Error, Registry, TaskError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// A delivery that was handed in, and its end in the transport in memory.
type Held = (EndedDelivery, Arc<End>);

/// A transport that takes hand-ins, and leaves their results to the test.
#[derive(Debug, Clone)]
struct Holding {
    inner: MemoryTransport,
    held: UnboundedSender<Held>,
}

#[derive(Debug)]
struct Member {
    inner: Box<dyn Subscription>,
    held: UnboundedSender<Held>,
}

/// The end of one delivery.
#[derive(Debug)]
struct End {
    this: Weak<Self>,
    ticket: Mutex<Option<Ticket>>,
    held: UnboundedSender<Held>,
}

impl End {
    fn take(&self) -> Option<Ticket> {
        self.ticket.lock().unwrap().take()
    }
}

#[async_trait]
impl Settle for End {
    async fn settle(&self, _: u128, outputs: &[Record]) -> Result<(), Error> {
        let Some(ticket) = self.take() else {
            return Err(Error::Lost);
        };
        let _ = ticket.settle(outputs.to_vec()).await.unwrap();
        Ok(())
    }

    async fn begin(&self, _: u128) -> Result<(), Error> {
        Ok(())
    }

    fn release(&self, _: u128, not_before: Option<Timestamp>, failed: u32) {
        let ticket = self.take();
        let _ = ticket.map(|ticket| ticket.release_failed(not_before, failed));
    }
}

impl HandIn for End {
    fn hand_in(&self, ended: EndedDelivery) -> Result<(), EndedDelivery> {
        let this = self.this.upgrade().unwrap();
        self.held.send((ended, this)).unwrap();
        Ok(())
    }
}

#[async_trait]
impl Subscription for Member {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        let mut deliveries = self.inner.receive(room).await?;
        for delivery in &mut deliveries {
            let end = Arc::new_cyclic(|this| End {
                this: Weak::clone(this),
                ticket: Mutex::default(),
                held: self.held.clone(),
            });
            let ticket = Ticket::with_hand_in(0, Arc::<End>::clone(&end));
            let ticket = std::mem::replace(&mut delivery.ticket, ticket);
            *end.ticket.lock().unwrap() = Some(ticket);
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
impl Transport for Holding {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        self.inner.publish(records).await
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        Ok(Box::new(Member {
            inner: self.inner.subscribe(interest).await?,
            held: self.held.clone(),
        }))
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.inner.ensure_topics(topics).await
    }

    async fn describe(&self, topics: &[Topic]) -> Result<Description, Error> {
        self.inner.describe(topics).await
    }
}

/// A client, its transport in memory, and the deliveries that are handed in.
async fn client() -> (Client, MemoryTransport, UnboundedReceiver<Held>) {
    let transport = MemoryTransport::new();
    let (tell, held) = unbounded_channel();
    let clock = transport.clock();
    let holding = Holding {
        inner: transport.clone(),
        held: tell,
    };
    let client = Client::builder(holding).clock(clock).build().await;
    (client.unwrap(), transport, held)
}

/// A task that notes its text and sends two numbers, and one that notes the numbers.
fn sending(diary: &Diary) -> Registry {
    let [texts, numbers] = [diary.clone(), diary.clone()];
    let send = move |context: Context, note: Note| {
        texts.note(note.text);
        async move {
            for n in [1, 2] {
                context.send(Double { n })?;
            }
            Ok::<(), TaskError>(())
        }
    };
    let take = move |number: Double| {
        let numbers = numbers.clone();
        async move { numbers.note(number.n.to_string()) }
    };
    Registry::new().task(send).task(take).build().unwrap()
}

async fn settle((mut ended, end): Held) {
    let ticket = end.take().unwrap();
    let _ = ticket.settle(ended.take_outputs()).await.unwrap();
    ended.report_settled();
}

#[tokio::test(start_paused = true)]
async fn a_key_waits_for_the_result_of_the_delivery_before() -> Result<(), Error> {
    let (kser, _, mut held) = client().await;
    let diary = Diary::default();
    let consumer = kser.consumer(sending(&diary)).spawn();
    for (text, key) in [("a", "k"), ("b", "k"), ("c", "other")] {
        kser.producer().send(note(text)).with_key(key).await?;
    }
    sleep(10 * SECOND).await;
    assert_eq!(diary.read(), ["a", "c"]);
    let first = held.recv().await.unwrap();
    settle(held.recv().await.unwrap()).await;
    sleep(10 * SECOND).await;
    assert_eq!(diary.read(), ["a", "c", "1", "2"]);
    settle(first).await;
    settle(held.recv().await.unwrap()).await;
    sleep(10 * SECOND).await;
    assert_eq!(diary.read(), ["a", "c", "1", "2", "b", "1", "2", "1", "2"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn an_output_that_is_published_is_not_published_again() -> Result<(), Error> {
    let (kser, transport, mut held) = client().await;
    let diary = Diary::default();
    let consumer = kser.consumer(sending(&diary)).spawn();
    for text in ["a", "b"] {
        kser.producer().send(note(text)).with_key("k").await?;
    }
    let (mut ended, _) = held.recv().await.unwrap();
    let outputs = ended.take_outputs();
    transport.publish(vec![outputs[0].clone()]).await.unwrap();
    let refused = NotPublished::new(vec![(1, Error::Closed)]);
    ended.report_unpublished(outputs, refused);
    settle(held.recv().await.unwrap()).await;
    sleep(10 * SECOND).await;
    let ran = diary.read();
    let (numbers, texts): (Vec<_>, Vec<_>) =
        ran.into_iter().partition(|ran| ran.parse::<i64>().is_ok());
    assert_eq!(texts, ["a", "b"]);
    assert_eq!(numbers, ["1", "2", "1", "2"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_delivery_without_a_result_is_redelivered() -> Result<(), Error> {
    let (kser, _, mut held) = client().await;
    let diary = Diary::default();
    let consumer = kser.consumer(sending(&diary)).spawn();
    kser.producer().send(note("a")).with_key("k").await?;
    kser.producer().send(note("b")).with_key("k").await?;
    drop(held.recv().await.unwrap());
    settle(held.recv().await.unwrap()).await;
    settle(held.recv().await.unwrap()).await;
    sleep(10 * SECOND).await;
    let mut texts = diary.read();
    texts.retain(|ran| ran.parse::<i64>().is_err());
    assert_eq!(texts, ["a", "a", "b"]);
    consumer.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_results() -> Result<(), Error> {
    let (kser, _, mut held) = client().await;
    let diary = Diary::default();
    let consumer = kser.consumer(sending(&diary)).spawn();
    kser.producer().send(note("a")).await?;
    let first = held.recv().await.unwrap();
    let mut stopping = Box::pin(consumer.stop());
    assert!(timeout(SECOND, &mut stopping).await.is_err());
    settle(first).await;
    stopping.await
}
