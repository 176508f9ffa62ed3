use std::fmt;
use std::str::FromStr;

use kser::backend::{RecordPlace, UnsettledRecord, headers};
use kser::message::Topic;
use kser::run::{RunId, Timestamp};
use serde::Serialize;

use crate::error::OpsError;
use crate::fingerprint::{CauseId, pattern};

/// The end of the name of each topic of dead letters.
pub(crate) const DEAD_LETTERS: &str = ".dlt";

/// The text in place of an error that is encrypted.
const SEALED: &str = "encrypted: the error cannot be read without the key";

/// A dead letter, as its headers describe it. Its payload is not read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Letter {
    /// The place of the dead letter.
    pub address: LetterAddress,
    /// The cause: letters of one cause have the same entrypoint, the same code and the same pattern.
    pub cause: CauseId,
    /// The entrypoint of the message; `None` where the record is no message, is encrypted, or is a dead letter of an earlier version.
    pub entrypoint: Option<String>,
    /// The run of the message; `None` also for a lone task.
    pub run: Option<RunId>,
    /// The step of that run, from 1; 0 is the launch.
    pub step: Option<u32>,
    /// The code of the error; `None` for a record that failed without running.
    pub code: Option<i64>,
    /// The text of the error, at most 4,096 bytes.
    pub error: String,
    /// The pattern of that text.
    pub pattern: String,
    /// The number of attempts.
    pub attempts: u32,
    /// The number of replays before.
    pub replays: u64,
    /// The time of the first failed attempt.
    #[serde(serialize_with = "crate::json::time")]
    pub first_failed: Option<Timestamp>,
    /// The time of the last failed attempt.
    #[serde(serialize_with = "crate::json::time")]
    pub last_failed: Option<Timestamp>,
    /// The time at which the dead letter was written, by the backend.
    #[serde(serialize_with = "crate::json::time")]
    pub written: Option<Timestamp>,
    /// The group that gave the record up.
    pub group: Option<String>,
    /// The place where the record was at first: topic, partition and offset.
    pub origin: Option<String>,
    /// The number of bytes of key, headers and payload.
    pub bytes: usize,
}

impl Letter {
    /// Reads the headers of a dead letter.
    #[must_use]
    pub fn read(shown: &UnsettledRecord) -> Self {
        let record = &shown.record;
        let text = |name: &str| {
            let value = record.header(name)?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let number = |name| text(name)?.parse().ok();
        let entrypoint = text(headers::ENTRYPOINT);
        let code = text(headers::CODE).and_then(|code| code.parse().ok());
        let error = match text(headers::ERROR) {
            None => "no error was given".to_owned(),
            Some(error) if error.starts_with("{\"kser_sealed\"") => SEALED.to_owned(),
            Some(error) => error,
        };
        let pattern = pattern(&error);
        // The time of the letter's writer stands there, whatever the clock of the reader.
        let ever = Timestamp::from_millis(u64::MAX);
        let origin = headers::origin(record);
        Self {
            address: LetterAddress::new(record.topic.clone(), shown.place),
            cause: CauseId::new(entrypoint.as_deref(), code, &pattern),
            entrypoint,
            run: text(headers::RUN).map(RunId::from),
            step: number(headers::STEP),
            code,
            error,
            pattern,
            attempts: headers::attempts(record).unwrap_or_default(),
            replays: headers::replays(record).unwrap_or_default(),
            first_failed: headers::passed(record, headers::FIRST_FAILED, ever),
            last_failed: headers::passed(record, headers::LAST_FAILED, ever),
            written: shown.published,
            group: text(headers::GROUP),
            origin: origin.map(|(topic, at)| format!("{topic}/{}/{}", at.partition, at.offset)),
            bytes: record.size(),
        }
    }

    /// Returns the time of the failure: the last attempt, else that of the dead letter.
    #[must_use]
    pub fn failed(&self) -> Option<Timestamp> {
        self.last_failed.or(self.written)
    }
}

/// The place of a dead letter: `dice.dlt/0/118`, the topic of the dead letters, the partition and the offset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterAddress {
    topic: Topic,
    place: RecordPlace,
}

impl LetterAddress {
    pub(crate) const fn new(topic: Topic, place: RecordPlace) -> Self {
        Self { topic, place }
    }

    /// Returns the topic of the dead letters, with the prefix.
    #[must_use]
    pub const fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Returns the partition and the offset.
    #[must_use]
    pub const fn place(&self) -> RecordPlace {
        self.place
    }
}

impl fmt::Display for LetterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RecordPlace { partition, offset } = self.place;
        write!(f, "{}/{partition}/{offset}", self.topic)
    }
}

impl Serialize for LetterAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads an address as it displays, with or without the end `.dlt` of the topic.
impl FromStr for LetterAddress {
    type Err = OpsError;

    fn from_str(text: &str) -> Result<Self, OpsError> {
        let invalid = |reason: String| OpsError::Invalid {
            what: format!("the address of a dead letter {text:?}"),
            reason,
        };
        let form =
            || invalid("it has the form topic/partition/offset, as dice.dlt/0/118".to_owned());
        let (rest, offset) = text.rsplit_once('/').ok_or_else(form)?;
        let (topic, partition) = rest.rsplit_once('/').ok_or_else(form)?;
        let place = RecordPlace {
            partition: partition
                .parse()
                .ok()
                .filter(|it| *it >= 0)
                .ok_or_else(form)?,
            offset: offset.parse().ok().filter(|it| *it >= 0).ok_or_else(form)?,
        };
        let topic = match topic.ends_with(DEAD_LETTERS) {
            true => topic.to_owned(),
            false => format!("{topic}{DEAD_LETTERS}"),
        };
        let topic = Topic::new(topic).map_err(|error| invalid(error.to_string()))?;
        Ok(Self { topic, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_displays() {
        let read = |text: &str| text.parse::<LetterAddress>();
        assert_eq!(
            read("dice.dlt/0/118").unwrap().to_string(),
            "dice.dlt/0/118"
        );
        assert_eq!(read("dice/3/9").unwrap().to_string(), "dice.dlt/3/9");
        for wrong in ["", "dice", "dice/1", "dice/-1/2", "dice/1/x", "a b/1/2"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }

    #[test]
    fn a_record_without_headers_is_a_letter() {
        let topic = Topic::new("dice.dlt").unwrap();
        let place = RecordPlace {
            partition: 0,
            offset: 7,
        };
        let record = kser::backend::Record::new(topic, Some("\u{0}".into()));
        let letter = Letter::read(&UnsettledRecord::new(place, record.clone(), None));
        assert_eq!(letter.error, "no error was given");
        assert_eq!(
            (letter.entrypoint, letter.run, letter.attempts),
            (None, None, 0)
        );
        let sealed = record.with_header(headers::ERROR, "{\"kser_sealed\":2,\"data\":\"\"}");
        let letter = Letter::read(&UnsettledRecord::new(place, sealed, None));
        assert_eq!(letter.error, SEALED);
    }
}
