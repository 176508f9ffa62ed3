//! The headers that kser adds to delayed records and dead letters. The payload stays byte for byte what it was.

use bytes::Bytes;
use kser_core::{Record, Timestamp};

/// How many counted attempts were made, as a decimal number.
pub(crate) const ATTEMPTS: &str = "kser-attempts";
/// When the first attempt failed, in milliseconds since 1970.
pub(crate) const FIRST_FAILED: &str = "kser-first-failed";
/// Since when nobody has understood the record, in milliseconds since 1970.
pub(crate) const WAITS_SINCE: &str = "kser-waits-since";
/// When the last attempt failed, in milliseconds since 1970.
pub(crate) const LAST_FAILED: &str = "kser-last-failed";
/// Where the record was at first: `topic/partition/offset`.
pub(crate) const ORIGIN: &str = "kser-origin";
/// The group that gave it up.
pub(crate) const GROUP: &str = "kser-group";
/// Why it was given up.
pub(crate) const ERROR: &str = "kser-error";
/// How many times it was replayed.
pub(crate) const REPLAY: &str = "kser-replay";

/// Reads a header of ours that is a decimal number.
pub(crate) fn number(record: &Record, name: &str) -> Option<u64> {
    std::str::from_utf8(record.header(name)?).ok()?.parse().ok()
}

/// Reads a header of ours that is a moment.
pub(crate) fn moment(record: &Record, name: &str) -> Option<Timestamp> {
    number(record, name).map(Timestamp::from_millis)
}

/// Sets a header of ours, in place of the one that is there.
pub(crate) fn set(record: &mut Record, name: &str, value: impl Into<Bytes>) {
    remove(record, name);
    record.headers.push((name.to_owned(), Some(value.into())));
}

/// Removes a header of ours.
pub(crate) fn remove(record: &mut Record, name: &str) {
    record.headers.retain(|(key, _)| key != name);
}
