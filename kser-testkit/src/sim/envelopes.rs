use kser_core::Record;

/// The envelopes between the clients of a simulation and its broker, which sees the texts, so that all invariants hold for them.
///
/// Rows of the store, and the records that it keeps, stay as the clients have sealed them.
#[derive(Debug, Clone)]
pub(crate) struct Envelopes {
    /// `None` where clients do not encrypt.
    #[cfg(feature = "encryption")]
    keys: Option<kser::encryption::KeyRing>,
}

impl Envelopes {
    pub(crate) const fn none() -> Self {
        Self {
            #[cfg(feature = "encryption")]
            keys: None,
        }
    }
}

#[cfg(feature = "encryption")]
mod sealed {
    use kser::encryption::{Encryption, Key, KeyId, KeyRing};
    use kser_core::{Record, Topic, headers};
    use kser_encryption::{Reading, Writing, open, seal};

    use super::Envelopes;

    impl Envelopes {
        /// Takes a key that is the same in each run.
        pub(crate) fn encrypted() -> Self {
            let id = KeyId::new("simulated").expect("it has the characters of an id");
            let ring = KeyRing::new(id, Key::from_bytes([7; Key::LENGTH]));
            Self { keys: Some(ring) }
        }

        pub(crate) fn encryption(&self) -> Option<Encryption> {
            self.keys.clone().map(Encryption::new)
        }

        /// Opens the payload of a record that a client publishes. A client that publishes a text which is not encrypted has a fault; bytes
        /// that are no JSON object are those of a scenario.
        pub(crate) fn open(&self, mut record: Record) -> Record {
            let payload = record.payload.as_ref().filter(|bytes| is_object(bytes));
            if let (Some(keys), Some(payload)) = (&self.keys, payload) {
                let topic = sent_to(&record);
                let opened = open(keys, Reading::Require, payload, &topic);
                let opened = opened.unwrap_or_else(|error| {
                    panic!("the payload of a record of {topic} is no envelope: {error}")
                });
                record.payload = Some(opened.plain);
            }
            record
        }

        /// Seals the payload of a record that a client receives.
        pub(crate) fn seal(&self, mut record: Record) -> Record {
            let plain = record.payload.clone().filter(|bytes| is_object(bytes));
            if let (Some(keys), Some(plain)) = (&self.keys, plain) {
                let sealed = seal(keys, Writing::Version2, plain, &sent_to(&record));
                record.payload = Some(sealed.expect("a simulated record is small"));
            }
            record
        }
    }

    fn is_object(payload: &[u8]) -> bool {
        payload.starts_with(b"{")
    }

    /// Returns the topic that a record was first sent to, of a dead letter too.
    fn sent_to(record: &Record) -> Topic {
        match record.topic.as_str().strip_suffix(".dlt") {
            None => record.topic.clone(),
            Some(topic) => headers::topic(record)
                .or_else(|| Topic::new(topic).ok())
                .unwrap_or_else(|| record.topic.clone()),
        }
    }
}

#[cfg(not(feature = "encryption"))]
impl Envelopes {
    pub(crate) const fn open(&self, record: Record) -> Record {
        record
    }

    pub(crate) const fn seal(&self, record: Record) -> Record {
        record
    }
}
