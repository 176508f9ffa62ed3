use bytes::Bytes;

use crate::{Timestamp, Topic};

/// A record to be published: the parts of a Kafka record, and the time at which it is due.
///
/// An absent key, payload or header value differs from an empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The topic.
    pub topic: Topic,
    /// The ordering key: records of one topic with the same key are delivered in the order in which they were published.
    /// `None` means no order.
    pub key: Option<Bytes>,
    /// The headers, in order; a name may occur more than once.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// The payload, which is never copied on the way.
    pub payload: Option<Bytes>,
    /// The time before which the record is not delivered; `None` for no delay.
    pub not_before: Option<Timestamp>,
}

impl Record {
    /// The largest record that kser creates, in bytes. It fits into a batch of 1,048,588 bytes, the default of
    /// `message.max.bytes` of Kafka's brokers, with room for the bytes that Kafka adds to a record.
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

    /// Sets the ordering key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header after the others.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// Sets the time before which the record is not delivered; `None` for no delay.
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

    /// Returns the number of bytes of key, headers and payload, which
    /// [`Description::largest_record`](crate::Description::largest_record) limits.
    #[must_use]
    pub fn size(&self) -> usize {
        let bytes = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.len() + bytes(value));
        bytes(&self.key) + bytes(&self.payload) + headers.sum::<usize>()
    }
}
