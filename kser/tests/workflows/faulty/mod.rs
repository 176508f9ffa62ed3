//! A memory transport that refuses and fails on demand.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod store;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kser::Error;
use kser::backend::{
    Delivery, Description, Interest, Leave, NotPublished, Record, Room, Subscription, TopicSpec,
    Transport,
};
use kser::consumer::Health;
use kser::memory::{MemoryClock, MemoryTransport};
use kser::message::Topic;
use tokio::sync::watch;

#[allow(unused_imports, reason = "not every test needs a store that fails")]
pub(crate) use store::{CallLoss, Deaf, Loss};

#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(dead_code, reason = "not every test needs all of them")]
pub(crate) enum Fault {
    None,
    /// Topics of this name are missing; of the empty name, all.
    Topic(&'static str),
    /// A topic takes no record as large as any is.
    Small(&'static str),
    /// A topic takes no record as large as any is, and dead letters cannot be written.
    SmallAndNoLetters(&'static str),
    /// Nothing is published, and nobody knows.
    Silence,
    /// Publishing takes a second.
    Slow,
    /// Topics cannot be made.
    Ensure,
    /// Observers receive errors.
    Receive {
        temporary: bool,
    },
    /// Members of groups receive errors.
    Fetch {
        temporary: bool,
    },
    /// Groups cannot be joined: their topics are missing.
    Join,
}

#[derive(Debug, Clone)]
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) struct Faulty {
    inner: MemoryTransport,
    fault: Arc<watch::Sender<Fault>>,
    kept: Arc<Mutex<Option<(Topic, Duration)>>>,
}

#[allow(dead_code, reason = "not every test needs it")]
impl Faulty {
    pub(crate) fn new(inner: MemoryTransport) -> Self {
        Self {
            inner,
            fault: Arc::new(watch::Sender::new(Fault::None)),
            kept: Arc::default(),
        }
    }

    pub(crate) fn clock(&self) -> MemoryClock {
        self.inner.clock()
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn heal(&self) {
        self.fail(Fault::None);
    }

    /// Has a topic keep its records for so long.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn keep(&self, topic: &str, kept: Duration) {
        *self.kept.lock().unwrap() = Some((Topic::new(topic).unwrap(), kept));
    }
}

fn failed(temporary: bool) -> Error {
    Error::Backend {
        backend: "faulty",
        temporary,
        source: "on demand".into(),
    }
}

#[async_trait::async_trait]
impl Transport for Faulty {
    async fn publish(&self, records: Vec<Record>) -> Result<(), NotPublished> {
        let fault = *self.fault.borrow();
        if fault == Fault::Slow {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let (mut refused, mut accepted) = (Vec::new(), Vec::new());
        for (index, record) in records.into_iter().enumerate() {
            let topic = record.topic.as_str();
            match fault {
                Fault::Silence => refused.push((index, failed(true))),
                Fault::Topic(missing) if missing.is_empty() || missing == topic => {
                    let topic = topic.to_owned();
                    refused.push((index, Error::MissingTopic { topic }));
                }
                Fault::SmallAndNoLetters(_) if topic.ends_with(".dlt") => {
                    refused.push((index, failed(true)));
                }
                Fault::Small(small) | Fault::SmallAndNoLetters(small) if small == topic => refused
                    .push((
                        index,
                        Error::TooLargeForTopic {
                            topic: topic.to_owned(),
                            size: record.size(),
                            limit: Some(10),
                        },
                    )),
                _ => accepted.push(record),
            }
        }
        self.inner.publish(accepted).await?;
        // In no order that anybody could rely on.
        refused.reverse();
        match refused.is_empty() {
            true => Ok(()),
            false => Err(NotPublished::new(refused)),
        }
    }

    async fn subscribe(&self, interest: Interest) -> Result<Box<dyn Subscription>, Error> {
        let observes = interest.group.is_none();
        if *self.fault.borrow() == Fault::Join && !observes {
            let topic = interest.topics[0].to_string();
            return Err(Error::MissingTopic { topic });
        }
        Ok(Box::new(FaultySubscription {
            inner: self.inner.subscribe(interest).await?,
            observes,
            fault: self.fault.subscribe(),
        }))
    }

    async fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), Error> {
        if *self.fault.borrow() == Fault::Ensure {
            return Err(failed(true));
        }
        self.inner.ensure_topics(topics).await
    }

    async fn describe(&self, topics: &[Topic]) -> Result<Description, Error> {
        let mut description = self.inner.describe(topics).await?;
        let kept = self.kept.lock().unwrap().clone();
        description.retention.extend(kept);
        Ok(description)
    }
}

#[derive(Debug)]
struct FaultySubscription {
    inner: Box<dyn Subscription>,
    observes: bool,
    fault: watch::Receiver<Fault>,
}

#[async_trait::async_trait]
impl Subscription for FaultySubscription {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        let observes = self.observes;
        let fails = move |fault: &Fault| match fault {
            Fault::Receive { .. } => observes,
            Fault::Fetch { .. } => !observes,
            _ => false,
        };
        tokio::select! {
            biased;
            fault = self.fault.wait_for(fails) => match fault.map(|fault| *fault) {
                Ok(Fault::Receive { temporary } | Fault::Fetch { temporary }) => Err(failed(temporary)),
                _ => Err(Error::Closed),
            },
            received = self.inner.receive(room) => received,
        }
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
