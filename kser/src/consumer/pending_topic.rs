use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use kser_core::{Delivery, Error, Health, Interest, Leave, Room, Subscription, Topic, Transport};
use tokio::task::JoinSet;

/// The interval between the looks for a missing topic.
const LOOK: Duration = Duration::from_secs(5);

type Subscribed = Result<Box<dyn Subscription>, Error>;

/// A subscription to a topic that does not exist yet.
#[derive(Debug)]
pub(super) struct PendingTopic {
    group: Option<String>,
    topics: Vec<Topic>,
    /// Looks for the topic on a task of its own, because the dispatcher drops the future of `receive` all the time.
    looking: JoinSet<Subscribed>,
    found: Option<Box<dyn Subscription>>,
    leaver: Arc<Leaver>,
}

/// Leaves the group once it is joined.
#[derive(Debug, Default)]
struct Leaver(OnceLock<Option<Arc<dyn Leave>>>);

#[async_trait]
impl Leave for Leaver {
    async fn leave(&self) -> Result<(), Error> {
        match self.0.get() {
            Some(Some(leaver)) => leaver.leave().await,
            _ => Ok(()),
        }
    }
}

impl PendingTopic {
    pub(super) fn new(transport: Arc<dyn Transport>, interest: Interest) -> Self {
        let (group, topics) = (interest.group.clone(), interest.topics.clone());
        let mut looking = JoinSet::new();
        looking.spawn(look(transport, interest));
        Self {
            group,
            topics,
            looking,
            found: None,
            leaver: Arc::default(),
        }
    }
}

async fn look(transport: Arc<dyn Transport>, interest: Interest) -> Subscribed {
    loop {
        tokio::time::sleep(LOOK).await;
        match transport.subscribe(interest.clone()).await {
            Err(Error::MissingTopic { .. }) => {}
            Err(error) if error.is_temporary() => {
                tracing::warn!(target: "kser", error = kser_core::log::report(&error), "looking for a missing topic failed; it is looked for again");
            }
            subscribed => return subscribed,
        }
    }
}

#[async_trait]
impl Subscription for PendingTopic {
    async fn receive(&mut self, room: Room) -> Result<Vec<Delivery>, Error> {
        if let Some(looked) = self.looking.join_next().await {
            let found = looked.map_err(|_| Error::Closed)??;
            let _ = self.leaver.0.set(found.leaver());
            self.found = Some(found);
        }
        match &mut self.found {
            Some(found) => found.receive(room).await,
            None => Err(Error::Closed),
        }
    }

    fn health(&self) -> Health {
        let missing = || {
            let mut health = Health::default();
            health.group.clone_from(&self.group);
            health.missing.clone_from(&self.topics);
            health
        };
        let found = self.found.as_ref();
        found.map_or_else(missing, |found| found.health())
    }

    fn leaver(&self) -> Option<Arc<dyn Leave>> {
        let leaver: Arc<dyn Leave> = Arc::<Leaver>::clone(&self.leaver);
        Some(leaver)
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        match self.found {
            Some(found) => found.close().await,
            None => Ok(()),
        }
    }
}
