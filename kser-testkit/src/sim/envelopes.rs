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
    use std::convert::Infallible;

    use bytes::Bytes;
    use kser::encryption::{Encryption, Key, KeyId, KeyRing};
    use kser_core::sequencing::Progress;
    use kser_core::{Outcome, Raw, Record, Topic, headers};
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

        /// Opens the outcomes of a progress that a client writes, each in the place that its envelope names.
        pub(crate) fn open_progress(&self, progress: Progress) -> Progress {
            let Some(keys) = &self.keys else {
                return progress;
            };
            let opened = progress.try_map_outcomes(
                |outcome| Ok::<_, Infallible>(open_outcome(keys, &outcome)),
                |failure| Ok(open_outcome(keys, &failure)),
            );
            let Ok(progress) = opened;
            progress
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

    fn open_outcome(keys: &KeyRing, kept: &Outcome) -> Outcome {
        let (data, name) = (kept.data(), kept.data().fields().get_as::<String>("topic"));
        let place = name.and_then(|name| Topic::new(name).ok());
        let place = place.expect("an outcome in the store is an envelope");
        let payload = Bytes::from(data.as_str().to_owned());
        let opened = open(keys, Reading::Require, &payload, &place).map(|opened| opened.plain);
        let outcome = opened.map(|plain| Raw::from_slice(&plain).and_then(|raw| raw.parse()));
        outcome
            .expect("an outcome in the store is opened")
            .expect("an envelope in the store has an outcome")
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
mod plain {
    use kser_core::Record;
    use kser_core::sequencing::Progress;

    use super::Envelopes;

    impl Envelopes {
        pub(crate) fn open(&self, record: Record) -> Record {
            record
        }

        pub(crate) fn seal(&self, record: Record) -> Record {
            record
        }

        pub(crate) fn open_progress(&self, progress: Progress) -> Progress {
            progress
        }
    }
}
