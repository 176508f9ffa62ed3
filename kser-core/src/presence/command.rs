use serde::{Deserialize, Serialize};

use crate::{JsonError, Raw, Timestamp};

/// The version of the commands that this version writes.
const VERSION: u32 = 1;

/// The beginning of the keys of commands. The id of no consumer begins so: it begins with the name of a group.
const KEYS: &str = "!command/";

/// A command of an operator to a consumer that allows it, kept beside the announcements of consumers.
///
/// As JSON it has a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Command {
    /// The version of the command; 1.
    pub v: u32,
    /// The id of the consumer, as it announces itself.
    pub consumer: String,
    /// The start of the consumer, as it announces it: a command that ends a consumer is not obeyed by its successor.
    pub life: Timestamp,
    /// The verb.
    pub verb: CommandVerb,
    /// The person or program that has asked for it.
    #[serde(default)]
    pub actor: String,
    /// The reason that the actor gives.
    #[serde(default)]
    pub reason: String,
    /// The time of the command, by the time of day of the operator, and later than that of the command before: the latest counts.
    pub at: Timestamp,
    /// The end of a pause, by the time of day.
    pub until: Timestamp,
}

/// The verb of a [`Command`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CommandVerb {
    /// Takes no new deliveries until the end of the pause. The consumer stays in its group, and keeps its partitions.
    Pause,
    /// Ends a pause before its time.
    Resume,
    /// Shuts the consumer down gracefully.
    Drain,
    /// A verb of a later version, which is not obeyed.
    #[serde(other)]
    Other,
}

impl CommandVerb {
    /// Returns the name, such as `pause`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Drain => "drain",
            Self::Other => "unknown",
        }
    }
}

impl Command {
    /// Makes a command to the consumer with this id and start, at a time of day until another.
    #[must_use]
    pub const fn new(
        consumer: String,
        life: Timestamp,
        verb: CommandVerb,
        (at, until): (Timestamp, Timestamp),
    ) -> Self {
        Self {
            v: VERSION,
            consumer,
            life,
            verb,
            actor: String::new(),
            reason: String::new(),
            at,
            until,
        }
    }

    /// Adds the actor and the reason.
    #[must_use]
    pub fn by(mut self, actor: impl Into<String>, reason: impl Into<String>) -> Self {
        (self.actor, self.reason) = (actor.into(), reason.into());
        self
    }

    /// Returns the key under which the command is kept. `nonce` tells it from one that another operator gives at the same time.
    #[must_use]
    pub fn key(&self, nonce: &str) -> String {
        format!("{KEYS}{}/{}-{nonce}", self.consumer, self.at.as_millis())
    }

    /// Says whether a key among the announcements is that of a command.
    #[must_use]
    pub fn is_key(key: &str) -> bool {
        key.starts_with(KEYS)
    }

    /// Reads a command, also one of a later version.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when the text is none.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        Raw::from_slice(text.as_bytes())?.parse()
    }

    /// Writes the command.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when it has no JSON form, which none has.
    pub fn to_text(&self) -> Result<String, JsonError> {
        Ok(Raw::new(self)?.as_str().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_comes_back_as_it_was() {
        let at = Timestamp::from_millis(7);
        let command = Command::new("kser.a/b".to_owned(), at, CommandVerb::Pause, (at, at));
        let command = command.by("oncall", "the bank is away");
        assert_eq!(
            Command::parse(&command.to_text().unwrap()).unwrap(),
            command
        );
        let key = command.key("x");
        assert_eq!(key, "!command/kser.a/b/7-x");
        assert!(Command::is_key(&key) && !Command::is_key("kser.a/b"));
    }

    #[test]
    fn a_command_of_a_later_version_is_read() {
        let text =
            r#"{"v":2,"consumer":"a","life":1,"verb":"hibernate","at":2,"until":3,"moon":4}"#;
        let command = Command::parse(text).unwrap();
        assert_eq!(
            (command.verb, command.actor.as_str()),
            (CommandVerb::Other, "")
        );
        assert!(Command::parse("{}").is_err());
    }
}
