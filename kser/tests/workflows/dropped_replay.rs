//! A replay that is given up in the middle leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use crate::common::Doomed;
use async_trait::async_trait;
use kser::backend::{
    Delivery, Description, Interest, Leave, NotPublished, Record, Room, Settle, Subscription,
    Ticket, TopicSpec, Transport,
};
use kser::consumer::Health;
use kser::memory::MemoryTransport;
use kser::message::Topic;
use kser::run::Timestamp;
use kser::{Error, IntoTask, Registry, RetryPolicy, Status, Step, TaskError};
use tokio::time::timeout;

/// A transport on which no dead letter is ever settled.
#[derive(Debug, Clone)]
struct Silent(MemoryTransport);

#[derive(Debug)]
struct Member(Box<dyn Subscription>);

/// What never answers.
#[derive(Debug)]
struct Never(std::sync::Mutex<Option<Ticket>>);

#[async_trait]
impl Settle for Never {
    async fn settle(&self, _: u128, _: &[Record]) -> Result<(), Error> {
        std::future::pending().await
    }

    async fn begin(&self, _: u128) -> Result<(), Error> {
        Ok(())
    }

    fn release(&self, _: u128, not_before: Option<Timestamp>, failed: u32) {
        if let Some(ticket) = self.0.lock().unwrap().take() {
            let _ = ticket.release_failed(not_before, failed);
        }
    }
}

#[async_trait]
impl Subscription for Member {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        let mut deliveries = self.0.receive(room).await?;
        for delivery in &mut deliveries {
            if delivery.record.topic.as_str().ends_with(".dlt") {
                let never = Arc::new(Never(std::sync::Mutex::default()));
                let ticket = Ticket::new(1, Arc::clone(&never) as Arc<dyn Settle>);
                let ticket = std::mem::replace(&mut delivery.ticket, ticket);
                *never.0.lock().unwrap() = Some(ticket);
            }
        }
        Ok(deliveries)
    }

    fn health(&self) -> Health {
        self.0.health()
    }

    fn leaver(&self) -> Option<Arc<dyn Leave>> {
        self.0.leaver()
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        self.0.close().await
    }
}

#[async_trait]
impl Transport for Silent {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        self.0.publish(records).await
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        Ok(Box::new(Member(self.0.subscribe(interest).await?)))
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        self.0.ensure_topics(topics).await
    }

    async fn describe(&self, topics: &[Topic]) -> Result<Description, Error> {
        self.0.describe(topics).await
    }
}

/// Whoever waits for its run afterwards reads how it ended, and does not wait for a replay that does not come.
#[tokio::test(start_paused = true)]
async fn a_replay_that_is_dropped_is_not_waited_for() -> Result<(), Error> {
    let transport = MemoryTransport::new();
    let clock = transport.clock();
    let kser = kser::Client::builder(Silent(transport))
        .clock(clock)
        .build()
        .await?;
    let task = |_: Doomed| async { Err::<(), _>(TaskError::new("Doomed", "no")) };
    let registry = Registry::new()
        .task(task.with_retry(RetryPolicy::never()))
        .build()?;
    let consumer = kser.consumer(registry).spawn();
    let steps = vec![Step::new(Doomed {})];
    let run = kser.producer().launch_steps("test.Run", steps).await?;
    assert_eq!(run.wait().await?.status, Status::Failed);
    let mut letters = kser.dead_letters("test").await?;
    let letter = letters.next().await?;
    assert!(
        timeout(Duration::from_secs(5), letter.replay())
            .await
            .is_err()
    );
    let state = run.wait_timeout(Duration::from_secs(60)).await?;
    assert_eq!(state.status, Status::Failed);
    consumer.stop().await
}
