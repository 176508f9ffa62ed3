//! The headers that kser adds to delayed records and dead letters: their names, and the one parser for all of them.
//!
//! Any program that can write to a topic can write headers. A value that kser does not write, such as a failure in the
//! future, is ignored with a warning, as if the header were absent.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;

use crate::{Origin, Record, Timestamp, Topic};

/// The number of attempts, as a decimal number. In a dead letter the attempts that ended without a report, as by a crash,
/// count too; in a delayed record only those that failed. An attempt that a graceful shutdown released never counts.
pub const ATTEMPTS: &str = "kser-attempts";
/// The time of the first failed attempt, in milliseconds since 1970.
pub const FIRST_FAILED: &str = "kser-first-failed";
/// The time of the last failed attempt, in milliseconds since 1970.
pub const LAST_FAILED: &str = "kser-last-failed";
/// The time since which no consumer has understood the record, in milliseconds since 1970.
pub const WAITS_SINCE: &str = "kser-waits-since";
/// The time from [`FIRST_FAILED`] until the record is due, in milliseconds. Unlike a point in time it does not depend on the
/// clock of the writer.
pub const FAILING_MS: &str = "kser-failing-ms";
/// The time from [`WAITS_SINCE`] until the record is due, in milliseconds.
pub const WAITED_MS: &str = "kser-waited-ms";
/// The time that a record has yet to wait in its delay topic, in milliseconds from the broker's timestamp of the record.
pub const WAIT_MS: &str = "kser-wait-ms";
/// The time at which a delayed record is due, in milliseconds since 1970, as earlier versions wrote it.
pub const DUE: &str = "kser-due";
/// The original place of the record: `topic/partition/offset`.
pub const ORIGIN: &str = "kser-origin";
/// The topic to which a replay sends the record, where it is not the topic of the dead letters.
pub const TOPIC: &str = "kser-topic";
/// The group that dead-lettered the record.
pub const GROUP: &str = "kser-group";
/// The reason for the dead letter, in at most 4,096 bytes. A longer text is cut, and ends with a mark.
pub const ERROR: &str = "kser-error";
/// The entrypoint of the message in a dead letter. Absent, as the three that follow, where payloads are encrypted, and where the
/// record is no message.
pub const ENTRYPOINT: &str = "kser-entrypoint";
/// The id of the run to which the message in a dead letter belongs.
pub const RUN: &str = "kser-run";
/// The step of that run, as a decimal number: from 1, and 0 for the launch.
pub const STEP: &str = "kser-step";
/// The code of the error, as a decimal number. Absent for a record that failed without running.
pub const CODE: &str = "kser-code";
/// The number of replays of the record, as a decimal number.
pub const REPLAY: &str = "kser-replay";

/// The time of the announcement of a consumer, in milliseconds since 1970.
pub const ANNOUNCED: &str = "kser-announced";

/// The largest number of replays that is written and accepted.
pub const REPLAYS: u64 = 1000;

/// The longest time until a record may be due: the longest wait of a retry policy.
const AHEAD: Duration = Duration::from_secs(366 * 24 * 3600);

/// The time by which the clock of the writer may be ahead. A point in time within it counts as now.
const SKEW: Duration = Duration::from_secs(60);

/// Reads the number of attempts.
#[must_use]
pub fn attempts(record: &Record) -> Option<u32> {
    number(record.header(ATTEMPTS)?, ATTEMPTS)
}

/// Reads the time of the announcement of a consumer.
#[must_use]
pub fn announced(record: &Record) -> Option<Timestamp> {
    number(record.header(ANNOUNCED)?, ANNOUNCED).map(Timestamp::from_millis)
}

/// Reads the number of replays, which is at most 1,000.
#[must_use]
pub fn replays(record: &Record) -> Option<u64> {
    let value = record.header(REPLAY)?;
    let replays = number(value, REPLAY)?;
    believe(replays, replays <= REPLAYS, value, REPLAY)
}

/// Reads a point in time in the past, such as [`FIRST_FAILED`] or [`WAITS_SINCE`].
#[must_use]
pub fn passed(record: &Record, name: &'static str, now: Timestamp) -> Option<Timestamp> {
    let value = record.header(name)?;
    let at = Timestamp::from_millis(number(value, name)?);
    believe(at.min(now), at <= now + SKEW, value, name)
}

/// Reads a point in time in the past: from the time since it, in a header such as [`FAILING_MS`], else as [`passed`] does.
#[must_use]
pub fn since(
    record: &Record,
    ago: &'static str,
    moment: &'static str,
    now: Timestamp,
) -> Option<Timestamp> {
    let Some(value) = record.header(ago) else {
        return passed(record, moment, now);
    };
    let millis = number(value, ago)?;
    let at = Timestamp::from_millis(now.as_millis().saturating_sub(millis));
    believe(at, millis <= now.as_millis(), value, ago)
}

/// Reads the value of [`WAIT_MS`]: at most a year.
#[must_use]
pub fn wait(value: &[u8]) -> Option<Duration> {
    let wait = Duration::from_millis(number(value, WAIT_MS)?);
    believe(wait, wait <= AHEAD, value, WAIT_MS)
}

/// Reads the value of [`DUE`]: at most a year ahead.
#[must_use]
pub fn due(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let at = Timestamp::from_millis(number(value, DUE)?);
    believe(at, at <= now + AHEAD, value, DUE)
}

/// Reads the original place of the record.
#[must_use]
pub fn origin(record: &Record) -> Option<(Topic, Origin)> {
    let value = record.header(ORIGIN)?;
    let origin = read_origin(value);
    if origin.is_none() {
        ignored(value, ORIGIN);
    }
    origin
}

/// Reads the topic to which a replay sends the record.
#[must_use]
pub fn topic(record: &Record) -> Option<Topic> {
    let value = record.header(TOPIC)?;
    let text = std::str::from_utf8(value).ok();
    let topic = text.and_then(|text| Topic::new(text).ok());
    if topic.is_none() {
        ignored(value, TOPIC);
    }
    topic
}

/// Sets a header, and removes the others of this name.
pub fn set(record: &mut Record, name: &str, value: impl Into<Bytes>) {
    remove(record, name);
    record.headers.push((name.to_owned(), Some(value.into())));
}

/// Sets the header with the original place of the record.
pub fn set_origin(record: &mut Record, topic: &Topic, origin: Origin) {
    let Origin { partition, offset } = origin;
    set(record, ORIGIN, format!("{topic}/{partition}/{offset}"));
}

/// Removes the headers of this name.
pub fn remove(record: &mut Record, name: &str) {
    record.headers.retain(|(key, _)| key != name);
}

fn read_origin(value: &[u8]) -> Option<(Topic, Origin)> {
    let (rest, offset) = std::str::from_utf8(value).ok()?.rsplit_once('/')?;
    let (topic, partition) = rest.rsplit_once('/')?;
    let origin = Origin {
        partition: partition.parse().ok().filter(|number| *number >= 0)?,
        offset: offset.parse().ok().filter(|number| *number >= 0)?,
    };
    Some((Topic::new(topic).ok()?, origin))
}

fn number<T: FromStr + Display>(value: &[u8], name: &'static str) -> Option<T> {
    let number = std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok());
    if number.is_none() {
        ignored(value, name);
    }
    number
}

fn believe<T>(value: T, is_plausible: bool, raw: &[u8], name: &'static str) -> Option<T> {
    if !is_plausible {
        ignored(raw, name);
        return None;
    }
    Some(value)
}

fn ignored(value: &[u8], name: &'static str) {
    let value = String::from_utf8_lossy(value);
    let value = crate::log::clean(&value, 100);
    tracing::warn!(target: "kser", header = name, "a header is ignored: kser does not write the value {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn with(name: &str, value: &str) -> Record {
        let mut record = Record::new(Topic::new("t").unwrap(), None);
        set(&mut record, name, value.to_owned());
        record
    }

    #[test]
    fn what_kser_writes_is_read() {
        assert_eq!(attempts(&with(ATTEMPTS, "3")), Some(3));
        assert_eq!(replays(&with(REPLAY, "1000")), Some(1000));
        let past = with(WAITS_SINCE, "1799999999999");
        let read = passed(&past, WAITS_SINCE, NOW);
        assert_eq!(read, Some(Timestamp::from_millis(1_799_999_999_999)));
        let year = (NOW + Duration::from_secs(365 * 24 * 3600)).as_millis();
        assert_eq!(
            due(year.to_string().as_bytes(), NOW),
            Some(Timestamp::from_millis(year))
        );
        let ago = with(FAILING_MS, "7000");
        let read = since(&ago, FAILING_MS, FIRST_FAILED, NOW);
        assert_eq!(read, Some(Timestamp::from_millis(1_799_999_993_000)));
        assert_eq!(
            since(&past, WAITED_MS, WAITS_SINCE, NOW),
            passed(&past, WAITS_SINCE, NOW)
        );
        assert_eq!(wait(b"12000"), Some(Duration::from_secs(12)));
        let mut record = with("user", "1");
        let at = Origin {
            partition: 2,
            offset: 17,
        };
        set_origin(&mut record, &Topic::new("a").unwrap(), at);
        assert_eq!(origin(&record), Some((Topic::new("a").unwrap(), at)));
        let read = topic(&with(TOPIC, "a.b"));
        assert_eq!(read, Some(Topic::new("a.b").unwrap()));
        assert_eq!(topic(&with(TOPIC, "a b")), None);
    }

    #[test]
    fn what_kser_does_not_write_is_ignored() {
        for value in ["", "-1", "x", "99999999999999999999999999", "4294967296"] {
            assert_eq!(attempts(&with(ATTEMPTS, value)), None, "{value}");
        }
        for value in ["1001", "18446744073709551615", "-1"] {
            assert_eq!(replays(&with(REPLAY, value)), None, "{value}");
        }
        for value in ["18446744073709551615", "1800000060001"] {
            let future = with(WAITS_SINCE, value);
            assert_eq!(passed(&future, WAITS_SINCE, NOW), None, "{value}");
        }
        for value in ["-1", "x", "1800000000001"] {
            let ago = with(WAITED_MS, value);
            assert_eq!(since(&ago, WAITED_MS, WAITS_SINCE, NOW), None, "{value}");
        }
        for value in [&b"-1"[..], b"x", b"18446744073709551615"] {
            assert_eq!(wait(value), None, "{value:?}");
        }
        // The year 9999.
        assert_eq!(due(b"253370764800000", NOW), None);
        for value in [
            "", "a", "a/1", "a/1/x", "a/-1/2", "a/1/-2", "a b/1/2", "/1/2",
        ] {
            assert_eq!(origin(&with(ORIGIN, value)), None, "{value}");
        }
    }

    #[test]
    fn a_clock_that_is_a_little_ahead_is_believed() {
        let record = with(WAITS_SINCE, "1800000030000");
        assert_eq!(passed(&record, WAITS_SINCE, NOW), Some(NOW));
    }
}
