//! The forms that times have in JSON: RFC 3339 in UTC, and durations as seconds.

use std::time::Duration;

use kser::run::Timestamp;
use serde::Serializer;

/// Writes a time, or null.
pub(crate) fn time<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => to.collect_str(at),
        None => to.serialize_none(),
    }
}

/// Writes a duration as seconds, or null.
pub(crate) fn seconds<S: Serializer>(
    duration: &Option<Duration>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => to.serialize_f64(duration.as_secs_f64()),
        None => to.serialize_none(),
    }
}

/// Writes a time.
pub(crate) fn at<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(at)
}

/// Writes a duration as seconds.
pub(crate) fn span<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(duration.as_secs_f64())
}
