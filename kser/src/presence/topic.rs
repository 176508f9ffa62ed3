use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kser_core::presence::{Announced, PRESENCE_KEPT, PresenceStore};
use kser_core::{
    Clock, Delivery, Error, Interest, NotPublished, Record, Room, Subscription, Timestamp, Topic,
    TopicSpec, Transport, headers,
};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::PresencePlace;

/// The number of announcements that are received at once.
const ROOM: usize = 512;

/// The pause between two looks at whether the log has been read to its end.
const LOOK: Duration = Duration::from_millis(20);

/// The longest time that a list takes.
const LIMIT: Duration = Duration::from_secs(10);

/// Keeps announcements in a topic, of which only the latest of each key matters. Ages go by the times of day of the writer and of the
/// reader.
///
/// A topic that kser does not create is looked for first: brokers that create topics at their first use would give it settings with
/// which it grows.
#[derive(Debug)]
pub(crate) struct TopicPresence {
    transport: Arc<dyn Transport>,
    topic: Topic,
    clock: Arc<dyn Clock>,
    creates: bool,
    there: OnceCell<()>,
}

impl TopicPresence {
    /// Makes the place of announcements on a transport; `None` where the transport does not show its topics.
    pub(crate) fn place(
        transport: &Arc<dyn Transport>,
        topic: Topic,
        clock: &Arc<dyn Clock>,
        creates: bool,
    ) -> Option<PresencePlace> {
        transport.inspect()?;
        let store = Arc::new(Self {
            transport: Arc::clone(transport),
            topic: topic.clone(),
            clock: Arc::clone(clock),
            creates,
            there: OnceCell::new(),
        });
        Some(PresencePlace {
            store: Arc::clone(&store) as Arc<dyn PresenceStore>,
            topic: Some(topic),
            as_topic: Some(store),
        })
    }

    /// Returns once the topic exists.
    async fn ready(&self) -> Result<(), Error> {
        let look = || async {
            if self.creates {
                let spec = TopicSpec::latest(self.topic.clone());
                return self.transport.ensure_topics(&[spec]).await;
            }
            let topics = match self.transport.inspect() {
                Some(inspect) => inspect.topics().await?,
                None => Vec::new(),
            };
            match topics.contains(&self.topic) {
                true => Ok(()),
                false => Err(Error::MissingTopic {
                    topic: self.topic.to_string(),
                }),
            }
        };
        self.there.get_or_try_init(look).await.map(|_| ())
    }

    /// Follows the texts of the wanted keys, those of the last [`PRESENCE_KEPT`] first.
    pub(crate) async fn follow(&self, wants: fn(&str) -> bool) -> Result<Follower, Error> {
        self.ready().await?;
        let interest = Interest::since(vec![self.topic.clone()], self.since(PRESENCE_KEPT));
        Ok(Follower {
            subscription: self.transport.subscribe(interest).await?,
            clock: Arc::clone(&self.clock),
            latest: Latest::default(),
            wants,
        })
    }

    /// Returns the time of day that lies so long ago.
    fn since(&self, within: Duration) -> Timestamp {
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(self.clock.wall().as_millis().saturating_sub(within))
    }

    async fn publish(&self, record: Record) -> Result<(), Error> {
        self.ready().await?;
        let published = self.transport.publish(vec![record]).await;
        published.map_err(NotPublished::into_error)
    }

    /// Reads the announcements since a time of day.
    async fn read(&self, from: Timestamp) -> Result<Latest, Error> {
        let interest = Interest::since(vec![self.topic.clone()], from);
        let mut subscription = self.transport.subscribe(interest).await?;
        let mut latest = Latest::default();
        loop {
            // Asked before the receive, which then finds all that was handed out.
            let is_read = subscription.health().lag == Some(0);
            match timeout(LOOK, subscription.receive(Room::records(ROOM))).await {
                Ok(received) => {
                    for delivery in received? {
                        latest.note(delivery).await;
                    }
                }
                Err(_) if is_read => break,
                Err(_) => {}
            }
        }
        close(subscription).await;
        Ok(latest)
    }
}

/// The latest announcement of each consumer, with its time.
#[derive(Debug, Default)]
struct Latest(BTreeMap<String, (String, Timestamp)>);

impl Latest {
    async fn note(&mut self, delivery: Delivery) {
        let record = &delivery.record;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(consumer) = record.key.as_deref().map(text) {
            match (record.payload.as_deref(), headers::announced(record)) {
                (Some(payload), Some(at)) => {
                    self.0.insert(consumer, (text(payload), at));
                }
                _ => {
                    self.0.remove(&consumer);
                }
            }
        }
        // Settling changes nothing for others.
        let _ = delivery.ticket.settle(Vec::new()).await;
    }
}

/// Reads a topic of announcements as it grows, and keeps the latest text of each key that is wanted.
#[derive(Debug)]
pub(crate) struct Follower {
    subscription: Box<dyn Subscription>,
    clock: Arc<dyn Clock>,
    latest: Latest,
    wants: fn(&str) -> bool,
}

impl Follower {
    /// Waits for records, at most so long, and returns the wanted texts that are no older than [`PRESENCE_KEPT`].
    pub(crate) async fn next(&mut self, longest: Duration) -> Result<Vec<Announced>, Error> {
        let room = Room::records(ROOM);
        if let Ok(received) = timeout(longest, self.subscription.receive(room)).await {
            for delivery in received? {
                self.latest.note(delivery).await;
            }
        }
        let (now, wants) = (self.clock.wall(), self.wants);
        let is_kept = |at: Timestamp| now.since(at) <= PRESENCE_KEPT;
        self.latest
            .0
            .retain(|key, (_, at)| wants(key) && is_kept(*at));
        let kept = self.latest.0.iter();
        let kept =
            kept.map(|(key, (text, at))| Announced::new(key.clone(), text.clone(), now.since(*at)));
        Ok(kept.collect())
    }

    pub(crate) async fn close(self) {
        close(self.subscription).await;
    }
}

async fn close(subscription: Box<dyn Subscription>) {
    if let Err(error) = subscription.close().await {
        let error = kser_core::log::report(&error);
        tracing::debug!(target: "kser", error, "ending a look at the consumers failed");
    }
}

#[async_trait]
impl PresenceStore for TopicPresence {
    async fn announce(&self, consumer: &str, text: String) -> Result<(), Error> {
        let record = Record::new(self.topic.clone(), Some(text.into()))
            .with_key(consumer.to_owned())
            .with_header(
                headers::ANNOUNCED,
                self.clock.wall().as_millis().to_string(),
            );
        self.publish(record).await
    }

    async fn withdraw(&self, consumer: &str) -> Result<(), Error> {
        let record = Record::new(self.topic.clone(), None).with_key(consumer.to_owned());
        self.publish(record).await
    }

    async fn list_consumers(&self, within: Duration) -> Result<Vec<Announced>, Error> {
        self.ready().await?;
        let read = timeout(LIMIT, self.read(self.since(within))).await;
        let read = read.unwrap_or(Err(Error::TimedOut {
            what: "reading the announcements of consumers",
        }));
        let now = self.clock.wall();
        let listed = read?.0.into_iter();
        let listed =
            listed.map(|(consumer, (text, at))| Announced::new(consumer, text, now.since(at)));
        Ok(listed.filter(|found| found.age <= within).collect())
    }
}
