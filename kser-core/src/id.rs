use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha1::{Digest, Sha1};
use uuid::{Builder, Uuid};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("text")
                    }

                    fn visit_str<E>(self, text: &str) -> Result<$name, E> {
                        Ok($name::from(text))
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

text! {
    /// An id of one task: opaque text of any length, because the Python library never checks that it is a UUID.
    ///
    /// The id is the same for every attempt, resume and replay, and so serves as idempotency key.
    TaskId
}
text! {
    /// An id of one run of an operation: the `uuid` of the message that launched it.
    RunId
}
text! {
    /// A name of a task or an operation in a message, such as `dice.DiceRoll`.
    Name
}
text! {
    /// An id of one state store, by which a message finds the store of its run.
    StoreId
}

text! {
    /// A name of a consumer over its restarts, such as the value of `KSER_INSTANCE`.
    Instance
}

impl Name {
    /// Returns the part after the last dot: `DiceRoll` of `dice.DiceRoll`.
    #[must_use]
    pub fn short(&self) -> &str {
        let text = self.as_str();
        text.rsplit_once('.').map_or(text, |(_, last)| last)
    }

    /// Returns the part before the first dot: `dice` of `dice.DiceRoll`. Messages are routed by it unless a route says
    /// otherwise.
    #[must_use]
    pub fn first_segment(&self) -> &str {
        let text = self.as_str();
        text.split_once('.').map_or(text, |(first, _)| first)
    }
}

impl RunId {
    /// Returns the id of the step at `position`, counted from 1: the same for the same run, wherever and however often
    /// it is built, so that a launch that is delivered twice repeats no step.
    #[must_use]
    pub fn step(&self, position: u32) -> TaskId {
        derived(self.as_str(), "step", position)
    }
}

impl TaskId {
    /// Returns the id of the message that the task sends as its output number `index`, counted from 0: the same for
    /// every attempt, so that a task that ran twice launches one id.
    #[must_use]
    pub fn output(&self, index: u32) -> Self {
        derived(self.as_str(), "output", index)
    }
}

/// Derives an id from the parent, the kind of the id, and its index.
fn derived(parent: &str, kind: &str, index: u32) -> TaskId {
    let mut digits = [0; 10];
    let index = decimal(index, &mut digits);
    let uuid = name_based_uuid(&["kser:", kind, ":", index, ":", parent]);
    let mut text = Uuid::encode_buffer();
    TaskId::from(&*uuid.hyphenated().encode_lower(&mut text))
}

/// Writes a number without an allocation.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &str {
    let mut at = digits.len();
    loop {
        at -= 1;
        // The rest is below 10.
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&digits[at..]).unwrap_or_default();
        }
    }
}

/// Derives a UUID of version 5 (RFC 9562) in the namespace of object ids from a name, which is given in parts.
///
/// It is `Uuid::new_v5`, whose implementation of SHA-1 does not use the instructions of the processor.
#[doc(hidden)]
#[must_use]
pub fn name_based_uuid(name: &[&str]) -> Uuid {
    let mut hash = Sha1::new_with_prefix(Uuid::NAMESPACE_OID);
    for part in name {
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Builder::from_sha1_bytes(bytes).into_uuid()
}

impl From<RunId> for TaskId {
    fn from(id: RunId) -> Self {
        Self(id.0)
    }
}

impl From<TaskId> for RunId {
    fn from(id: TaskId) -> Self {
        Self(id.0)
    }
}

/// Makes unique ids. A simulated run has a source of its own, so that it is the same every time.
pub trait IdSource: fmt::Debug + Send + Sync + 'static {
    /// Returns an id that was never returned before.
    fn next_id(&self) -> String;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn derived_ids_are_uuids_of_version_5(parent in ".{0,200}", index: u32) {
            let name = format!("kser:output:{index}:{parent}");
            let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
            let output = TaskId::from(parent.as_str()).output(index);
            prop_assert_eq!(output.as_str(), uuid.to_string());
        }
    }

    #[test]
    fn the_largest_and_the_smallest_index_are_written() {
        for index in [0, 9, 10, u32::MAX] {
            assert_eq!(decimal(index, &mut [0; 10]), index.to_string());
        }
    }
}
