use bytes::Bytes;

use crate::{Timestamp, Topic};

/// What is published: the parts of a Kafka record, and when it is due.
///
/// An absent key, payload or header value is not an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The stream.
    pub topic: Topic,
    /// What orders it among the others of the topic; `None` for no order.
    pub key: Option<Bytes>,
    /// Names and values beside the payload, in order; a name may occur more than once.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// The bytes, never copied on the way.
    pub payload: Option<Bytes>,
    /// Not to be delivered before then; `None` for at once.
    pub not_before: Option<Timestamp>,
}

impl Record {
    /// The largest size that Kafka's brokers take unless they are told otherwise: what fits a batch of 1,048,588 bytes
    /// (their `message.max.bytes`), with room for what Kafka adds to a record. kser creates no larger record.
    pub const LARGEST: usize = 1_048_000;

    /// Makes a record without key, headers and delay.
    #[must_use]
    pub const fn new(topic: Topic, payload: Option<Bytes>) -> Self {
        Self {
            topic,
            key: None,
            headers: Vec::new(),
            payload,
            not_before: None,
        }
    }

    /// Orders it with others of the same key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header behind the others.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// Delays it until then; `None` for not at all.
    #[must_use]
    pub const fn with_not_before(mut self, not_before: Option<Timestamp>) -> Self {
        self.not_before = not_before;
        self
    }

    /// Returns the value of the last header called `name` that has one, as Kafka's `lastHeader` does.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        let mut named = self.headers.iter().rev().filter(|(key, _)| key == name);
        named.find_map(|(_, value)| value.as_ref())
    }

    /// Counts the bytes that [`Description::largest_record`](crate::Description::largest_record) limits: key, headers
    /// and payload.
    #[must_use]
    pub fn size(&self) -> usize {
        let bytes = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + bytes(value));
        bytes(&self.key) + bytes(&self.payload) + headers.sum::<usize>()
    }
}
