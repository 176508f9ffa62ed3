use bytes::Bytes;
use serde::de::MapAccess;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::Fields;
use crate::{Envelope, Error, Name, Object, Outcome, Raw, TaskId};

/// A request to run a task or to build an operation, as it is on the wire.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Message {
    /// Names the task or the operation.
    pub uuid: TaskId,
    /// What is asked for.
    pub entrypoint: Name,
    /// What it is given.
    pub params: Object,
    /// The forwarded outcome of the step before.
    pub result: Outcome,
    /// The user's context, and kser's envelope.
    pub metadata: Metadata,
}

impl Message {
    /// Makes a message without a forwarded outcome and without metadata.
    #[must_use]
    pub fn new(uuid: TaskId, entrypoint: Name, params: Object) -> Self {
        let result = Outcome {
            uuid: Some(uuid.clone()),
            ..Outcome::default()
        };
        Self {
            uuid,
            entrypoint,
            params,
            result,
            metadata: Metadata::default(),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] where the Python library refuses it too.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Wire {
            uuid: TaskId,
            entrypoint: Name,
            #[serde(default)]
            params: Object,
            #[serde(default)]
            result: Option<Outcome>,
            #[serde(default)]
            metadata: Metadata,
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(Error::decode)?;
        let mut result = wire.result.unwrap_or_default();
        result.uuid.get_or_insert_with(|| wire.uuid.clone());
        Ok(Self {
            uuid: wire.uuid,
            entrypoint: wire.entrypoint,
            params: wire.params,
            result,
            metadata: wire.metadata,
        })
    }

    /// Writes the message.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`], which only a bug could cause: every part is JSON already.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let bytes = serde_json::to_vec(self).map_err(Error::encode)?;
        Ok(bytes.into())
    }
}

/// The user's context of a message, which kser never changes, and kser's own envelope beside it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    fields: Fields,
    envelope: Option<Envelope>,
}

impl Metadata {
    /// Returns the value called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Raw> {
        self.fields.get(name)
    }

    /// Sets the value called `name`.
    pub fn set(&mut self, name: &str, value: Raw) {
        self.fields.set(name, value);
    }

    /// Returns kser's own part, `metadata.kser`.
    #[must_use]
    pub const fn envelope(&self) -> Option<&Envelope> {
        self.envelope.as_ref()
    }

    /// Returns the metadata with another envelope.
    #[must_use]
    pub fn with_envelope(mut self, envelope: Option<Envelope>) -> Self {
        self.envelope = envelope;
        self
    }
}

const ENVELOPE: &str = "kser";

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.fields.iter() {
            map.serialize_entry(name, value)?;
        }
        if let Some(envelope) = &self.envelope {
            map.serialize_entry(ENVELOPE, envelope)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Metadata;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            // In one pass: a plan is most of its message.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut metadata = Metadata::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == ENVELOPE {
                        metadata.envelope = Some(map.next_value()?);
                    } else {
                        metadata.fields.set(&name, map.next_value()?);
                    }
                }
                Ok(metadata)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
