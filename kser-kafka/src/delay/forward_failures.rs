//! Delayed records that could not be forwarded: their retries, and their log lines.

use std::collections::BTreeMap;
use std::time::Duration;

use kser_core::{Error, Timestamp, Topic};

/// The pause after the first failure. Each further pause is twice as long.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause after a temporary failure, and after a refusal that an operator has to resolve.
const LONGEST: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// The interval of log lines about one topic.
const SAY: Duration = Duration::from_secs(60);

/// The delayed records of a partition that could not be forwarded, by their offsets.
#[derive(Debug, Default)]
pub(crate) struct ForwardFailures(BTreeMap<i64, ForwardFailure>);

#[derive(Debug, Default)]
struct ForwardFailure {
    tries: u32,
    temporary: bool,
    reason: String,
}

impl ForwardFailures {
    /// Notes that a record could not be forwarded. Returns the pause until the retry, and the number of attempts.
    pub(crate) fn note_failure(&mut self, offset: i64, error: &Error) -> (Duration, u32) {
        let failure = self.0.entry(offset).or_default();
        failure.tries += 1;
        failure.temporary = error.is_temporary();
        failure.reason = chain(error);
        let longest = match failure.temporary {
            true => LONGEST.0,
            false => LONGEST.1,
        };
        let pause = FIRST.saturating_mul(1 << (failure.tries - 1).min(16));
        (pause.min(longest), failure.tries)
    }

    /// Forgets a record that was forwarded, or whose partition is lost.
    pub(crate) fn forget(&mut self, offset: i64) {
        self.0.remove(&offset);
    }

    /// Describes the number of records that cannot be forwarded, and the error of the oldest. Temporary failures count from the
    /// second attempt on.
    pub(crate) fn reason(&self) -> Option<String> {
        let counts = |failure: &&ForwardFailure| !failure.temporary || failure.tries > 1;
        let mut failures = self.0.values().filter(counts);
        let first = failures.next()?;
        let records = match failures.count() {
            0 => "1 record".to_owned(),
            more => format!("{} records", more + 1),
        };
        let reason = &first.reason;
        Some(format!("{records} cannot be forwarded when due: {reason}"))
    }
}

/// The times of the last log lines, by topic.
#[derive(Debug, Default)]
pub(crate) struct LogLimiter(BTreeMap<Topic, Timestamp>);

impl LogLimiter {
    /// Says whether a log line about a topic is due. If so, the caller has to write it.
    pub(crate) fn may_log(&mut self, topic: &Topic, now: Timestamp) -> bool {
        let last = self.0.get(topic);
        let is_due = last.is_none_or(|last| now.since(*last) >= SAY);
        if is_due {
            self.0.insert(topic.clone(), now);
        }
        is_due
    }
}

/// Formats an error with its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(chain);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Error {
        Error::TooLargeForTopic {
            topic: "t".to_owned(),
            size: 2500,
            limit: None,
        }
    }

    #[test]
    fn the_pauses_grow_up_to_a_limit() {
        let mut unsent = ForwardFailures::default();
        let pauses = |unsent: &mut ForwardFailures, error: &Error| {
            let pauses = (0..40).map(|_| unsent.note_failure(1, error).0.as_secs());
            pauses.collect::<Vec<_>>()
        };
        let of_refused = pauses(&mut unsent, &refused());
        assert_eq!(of_refused[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(of_refused[39], 60);
        unsent.forget(1);
        let passing = Error::TimedOut { what: "a broker" };
        assert_eq!(pauses(&mut unsent, &passing)[..6], [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn what_cannot_be_sent_on_is_counted_and_explained_until_it_is_sent() {
        let mut unsent = ForwardFailures::default();
        assert_eq!(unsent.reason(), None);
        unsent.note_failure(7, &refused());
        let reason = unsent.reason().unwrap();
        assert!(
            reason.starts_with("1 record cannot be forwarded"),
            "{reason}"
        );
        assert!(
            reason.contains("does not take a record of 2500 bytes"),
            "{reason}"
        );
        unsent.note_failure(8, &refused());
        assert!(unsent.reason().unwrap().starts_with("2 records"));
        unsent.forget(7);
        unsent.forget(8);
        assert_eq!(unsent.reason(), None);
    }

    #[test]
    fn a_failure_that_passes_is_no_reason_yet() {
        let mut unsent = ForwardFailures::default();
        let passing = Error::TimedOut { what: "a broker" };
        unsent.note_failure(7, &passing);
        assert_eq!(unsent.reason(), None);
        unsent.note_failure(7, &passing);
        assert!(unsent.reason().is_some());
    }

    #[test]
    fn one_topic_has_a_line_a_minute() {
        let mut log_limiter = LogLimiter::default();
        let [a, b] = ["a", "b"].map(|name| Topic::new(name).unwrap());
        let seconds = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        let lines = (0..120)
            .filter(|n| log_limiter.may_log(&a, seconds(*n)))
            .count();
        assert_eq!(lines, 2);
        assert!(log_limiter.may_log(&b, seconds(120)));
    }
}
