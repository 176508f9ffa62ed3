//! The topics beside a topic, where its records wait or are dead letters: the settings with which they are created.

use std::time::Duration;

use crate::admin::TopicSettings;
use crate::delay;

/// The bytes of headers that kser adds to a waiting record or a dead letter, at most: an error of 4096 bytes, names of
/// topics and groups, counts and times.
const HEADERS: usize = 8192;

/// What topics take unless they or their brokers are told otherwise. The topics beside another take no less, so that an
/// operator who raises the limit of a small topic need not think of them.
const DEFAULT_LIMIT: usize = 1_048_588;

/// Returns the settings of a topic beside another, whose own are `parent` if they could be read. `length` is how long
/// records wait in it at most; `None` for dead letters.
///
/// A waiting record has to outlive an absence of its consumers, and with our headers it has to fit where it was read.
pub(crate) fn settings(
    parent: Option<&TopicSettings>,
    length: Option<Duration>,
) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if let Some(largest) = parent.and_then(|parent| parent.largest) {
        let largest = largest.max(DEFAULT_LIMIT).saturating_add(HEADERS);
        let largest = i32::try_from(largest).unwrap_or(i32::MAX);
        settings.push(("max.message.bytes", largest.to_string()));
    }
    if let Some(length) = length {
        let least = delay::least_retention(length);
        let kept = match parent {
            // For ever.
            Some(parent) if parent.retention.is_none() => "-1".to_owned(),
            parent => {
                let of_parent = parent.and_then(|parent| parent.retention);
                let kept = of_parent.unwrap_or_default().max(least);
                kept.as_millis().to_string()
            }
        };
        settings.push(("retention.ms", kept));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn of(retention: Option<Duration>, length: Option<Duration>) -> Vec<(&'static str, String)> {
        let largest = Some(2_000_000);
        settings(Some(&TopicSettings { retention, largest }), length)
    }

    #[test]
    fn a_delay_topic_keeps_its_records_twice_its_step_and_a_day_at_least() {
        let day_and_two_hours = ("retention.ms", (26 * HOUR).as_millis().to_string());
        for short in [HOUR, 26 * HOUR] {
            assert!(of(Some(short), Some(HOUR)).contains(&day_and_two_hours));
        }
        assert!(settings(None, Some(HOUR)).contains(&day_and_two_hours));
        let week = ("retention.ms", (168 * HOUR).as_millis().to_string());
        assert!(of(Some(168 * HOUR), Some(HOUR)).contains(&week));
        assert!(of(None, Some(HOUR)).contains(&("retention.ms", "-1".to_owned())));
    }

    #[test]
    fn topics_beside_another_take_its_records_with_our_headers() {
        let limit = ("max.message.bytes", (2_000_000 + HEADERS).to_string());
        assert!(of(None, Some(HOUR)).contains(&limit));
        assert_eq!(of(Some(HOUR), None), [limit]);
        assert_eq!(settings(None, None), []);
        let small = TopicSettings {
            retention: None,
            largest: Some(2000),
        };
        let limit = ("max.message.bytes", (DEFAULT_LIMIT + HEADERS).to_string());
        assert_eq!(settings(Some(&small), None), [limit]);
    }
}
