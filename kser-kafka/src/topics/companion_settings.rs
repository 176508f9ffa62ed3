//! The settings with which the companion topics of a topic are created: its delay topics, and its topic of dead letters.

use std::time::Duration;

use crate::delay;
use crate::topics::admin::TopicSettings;

/// The greatest size of the headers that kser adds to a delayed record or a dead letter, in bytes: an error of 4096 bytes,
/// names of topics and groups, counts and times.
const HEADERS: usize = 8192;

/// The default `max.message.bytes` of topics. Companion topics have at least this limit, so that they need no change when an
/// operator raises the limit of a small topic.
const DEFAULT_LIMIT: usize = 1_048_588;

/// Returns the settings of a companion topic. `parent` are the settings of its topic, if they could be read. `length` is the
/// longest time that a record stays in a delay topic; `None` for dead letters.
///
/// A delayed record has to outlive an absence of its consumers, and has to fit into the companion topic with kser's headers.
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
            // -1 stands for no limit.
            Some(parent) if parent.retention.is_none() => "-1".to_owned(),
            parent => {
                let of_parent = parent.and_then(|parent| parent.retention);
                let kept = of_parent.unwrap_or_default().max(least);
                kept.as_millis().to_string()
            }
        };
        settings.push(("retention.ms", kept));
        // The clocks of producers may differ, so that delays are measured by the clock of the brokers.
        settings.push(("message.timestamp.type", "LogAppendTime".to_owned()));
    }
    settings
}

/// Explains the problems of the settings of a delay topic; `None` if there are none.
pub(crate) fn unfit(settings: &TopicSettings, length: Duration) -> Option<String> {
    let mut reasons = Vec::new();
    let least = delay::least_retention(length);
    if let Some(kept) = settings.retention.filter(|kept| *kept < least) {
        let (kept, least) = (kept.as_millis(), least.as_millis());
        reasons.push(format!(
            "its retention.ms is {kept}, and delayed records need {least}"
        ));
    }
    if !settings.stamps {
        reasons.push(
            "its message.timestamp.type is CreateTime, and delays are wrong by as much as clocks differ; it should be \
             LogAppendTime"
                .to_owned(),
        );
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn of(retention: Option<Duration>, length: Option<Duration>) -> Vec<(&'static str, String)> {
        settings(Some(&topic(retention, Some(2_000_000))), length)
    }

    fn topic(retention: Option<Duration>, largest: Option<usize>) -> TopicSettings {
        TopicSettings {
            retention,
            largest,
            stamps: true,
        }
    }

    #[test]
    fn a_topic_that_puts_waiting_records_at_risk_is_named_with_the_reason() {
        assert_eq!(unfit(&topic(None, None), HOUR), None);
        assert_eq!(unfit(&topic(Some(26 * HOUR), None), HOUR), None);
        let short = unfit(&topic(Some(25 * HOUR), None), HOUR).unwrap();
        assert!(short.contains("retention.ms is 90000000"), "{short}");
        let stamped_elsewhere = TopicSettings {
            stamps: false,
            ..topic(None, None)
        };
        let reason = unfit(&stamped_elsewhere, HOUR).unwrap();
        assert!(reason.contains("message.timestamp.type"), "{reason}");
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
        let small = topic(None, Some(2000));
        let limit = ("max.message.bytes", (DEFAULT_LIMIT + HEADERS).to_string());
        assert_eq!(settings(Some(&small), None), [limit]);
    }
}
