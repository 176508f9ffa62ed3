use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names a stream of records: a name that Kafka accepts too.
///
/// 1 to 249 of the characters `a-z A-Z 0-9 . _ -`, and neither `.` nor `..` (`org.apache.kafka.common.internals.Topic`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

/// The name cannot be that of a topic, in Kafka as here. `?` turns it into
/// [`InvalidTopic`](crate::Error::InvalidTopic).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} cannot be a topic name: {reason}")]
#[non_exhaustive]
pub struct InvalidTopic {
    /// The name.
    pub name: String,
    /// The rule that it breaks.
    pub reason: &'static str,
}

impl Topic {
    /// The longest name, in characters.
    pub const MAX_LENGTH: usize = 249;

    /// Takes a name.
    ///
    /// # Errors
    ///
    /// [`InvalidTopic`] says which rule the name breaks.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InvalidTopic> {
        let name = name.as_ref();
        match broken_rule(name) {
            None => Ok(Self(name.into())),
            Some(reason) => Err(InvalidTopic {
                name: name.to_owned(),
                reason,
            }),
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the topic whose name has `suffix` behind it, such as `.dlt`.
    ///
    /// # Errors
    ///
    /// [`InvalidTopic`] when that is too long or `suffix` has characters that a name cannot have.
    pub fn with_suffix(&self, suffix: &str) -> Result<Self, InvalidTopic> {
        Self::new(format!("{self}{suffix}"))
    }
}

fn broken_rule(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match name {
        "" => Some("it is empty"),
        "." | ".." => Some("it is a dot or two"),
        _ if !name.chars().all(allowed) => Some("it has characters other than a-z A-Z 0-9 . _ -"),
        _ if name.len() > Topic::MAX_LENGTH => Some("it is longer than 249 characters"),
        _ => None,
    }
}

impl TryFrom<&str> for Topic {
    type Error = InvalidTopic;

    fn try_from(name: &str) -> Result<Self, InvalidTopic> {
        Self::new(name)
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(name).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_kafka_takes() {
        for name in ["dice", "__main__", "a.b-c_D9", "...", &"x".repeat(249)] {
            assert_eq!(Topic::new(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn refuses_what_kafka_refuses() {
        for name in ["", ".", "..", "a b", "é", "a/b", "a\n", &"x".repeat(250)] {
            let error = Topic::new(name).unwrap_err().to_string();
            assert!(error.contains("topic name"), "{error}");
        }
    }
}
