use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kser_core::{Error, Message, Metadata, Name, Object, Raw, Record, TaskId, Timestamp, Topic};
use serde::Serialize;
use tracing::{Instrument, Span};

use crate::publish::publish_one;
use crate::shared::Shared;
use crate::traces::send_span;

/// A task whose record is written.
pub(crate) struct Prepared {
    pub(crate) entrypoint: Name,
    pub(crate) uuid: TaskId,
    pub(crate) record: Record,
    pub(crate) span: Span,
}

/// A task that is sent when this is awaited.
#[must_use = "nothing is sent until this is awaited"]
#[derive(Debug)]
pub struct SendTask {
    shared: Arc<Shared>,
    entrypoint: Name,
    params: Result<Object, Error>,
    uuid: Option<TaskId>,
    topic: Option<Result<Topic, Error>>,
    key: Option<Bytes>,
    metadata: Result<Metadata, Error>,
    pub(crate) delay: Option<Duration>,
}

impl SendTask {
    pub(crate) fn new(
        shared: Arc<Shared>,
        entrypoint: Name,
        params: Result<Object, Error>,
    ) -> Self {
        Self {
            shared,
            entrypoint,
            params,
            uuid: None,
            topic: None,
            key: None,
            metadata: Ok(Metadata::default()),
            delay: None,
        }
    }

    /// Gives the task this id; random unless set.
    pub fn with_id(mut self, id: impl Into<TaskId>) -> Self {
        self.uuid = Some(id.into());
        self
    }

    /// Sends it to this topic, given without the prefix, instead of where the route says.
    pub fn with_topic(mut self, topic: impl AsRef<str>) -> Self {
        self.topic = Some(Topic::new(topic).map_err(Error::from));
        self
    }

    /// Sets the key: tasks of one key run in order. By default a task has no key and no order.
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a value to the metadata of the message.
    pub fn with_metadata<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        self.metadata = self.metadata.and_then(|mut metadata| {
            metadata.set(name, Raw::new(value)?);
            Ok(metadata)
        });
        self
    }

    /// Delays the task by at least this duration. Sending it is [`Error::Invalid`] when the topic would delete the record
    /// before.
    pub const fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Writes the record, if it can be sent at all.
    pub(crate) fn prepare(self) -> Result<Prepared, Error> {
        let shared = &self.shared;
        let uuid = self.uuid.unwrap_or_else(|| shared.ids.next_id().into());
        let topic = match self.topic {
            Some(topic) => shared.writer.routes.prefixed(&topic?)?,
            None => shared.topic_of(&self.entrypoint)?,
        };
        let mut message = Message::new(uuid.clone(), self.entrypoint, self.params?);
        message.metadata = self.metadata?;
        let named = (&message.entrypoint, &message.uuid);
        let span = send_span(shared.tracer(), &topic, named, None, &mut message.metadata);
        let mut record = shared.writer.message(topic, &message)?;
        record.key = self.key.map(|key| shared.writer.payloads.record_key(key));
        let due = |delay: Duration| -> Timestamp { shared.clock.now() + delay };
        Ok(Prepared {
            entrypoint: message.entrypoint,
            uuid,
            record: record.with_not_before(self.delay.map(due)),
            span,
        })
    }

    async fn go(self) -> Result<TaskId, Error> {
        let (shared, delay) = (Arc::clone(&self.shared), self.delay);
        let Prepared {
            entrypoint,
            uuid,
            record,
            span,
        } = self.prepare()?;
        if let Some(delay) = delay {
            keeps(&shared, &record.topic, delay, &mut BTreeMap::new()).await?;
        }
        let published = publish_one(&shared, record, &entrypoint, &uuid);
        published.instrument(span).await?;
        Ok(uuid)
    }
}

/// Refuses a delay that is longer than the retention of the topic: the task would be lost. `known` has the retentions that
/// were looked up before.
pub(crate) async fn keeps(
    shared: &Shared,
    topic: &Topic,
    delay: Duration,
    known: &mut BTreeMap<Topic, Option<Duration>>,
) -> Result<(), Error> {
    if !known.contains_key(topic) {
        let topics = std::slice::from_ref(topic);
        let description = shared.transport.describe(topics).await?;
        known.insert(topic.clone(), description.retention.get(topic).copied());
    }
    match known.get(topic) {
        Some(Some(kept)) if delay >= *kept => Err(Error::Invalid {
            what: format!("a delay of {delay:?}"),
            reason: format!("topic {topic} keeps its records for {kept:?} only"),
        }),
        _ => Ok(()),
    }
}

impl IntoFuture for SendTask {
    type Output = Result<TaskId, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.go())
    }
}
