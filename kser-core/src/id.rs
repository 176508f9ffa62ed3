use std::borrow::Borrow;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

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
        TaskId::from(derived(self.as_str(), "step", position))
    }
}

impl TaskId {
    /// Returns the id of the message that the task sends as its output number `index`, counted from 0: the same for
    /// every attempt, so that a task that ran twice launches one id.
    #[must_use]
    pub fn output(&self, index: u32) -> Self {
        Self::from(derived(self.as_str(), "output", index))
    }
}

/// Derives a UUID of version 5 (RFC 9562) from the parent, the kind of the id, and its index.
fn derived(parent: &str, kind: &str, index: u32) -> String {
    let mut name = String::with_capacity(parent.len() + 32);
    // Writing to a string never fails.
    let _ = write!(name, "kser:{kind}:{index}:{parent}");
    let uuid = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    let mut text = Uuid::encode_buffer();
    uuid.hyphenated().encode_lower(&mut text).to_owned()
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
