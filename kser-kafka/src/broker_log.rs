use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kser_clock::SystemClock;
use kser_core::{Clock, Timestamp};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::rebootstrap::Rebootstrap;

/// The interval within which a line is logged once. A client repeats some lines twenty times a second.
const REPEAT: Duration = Duration::from_secs(10);
/// The number of different lines that are logged within that interval.
const LINES: usize = 100;
/// The number of characters of a line that are logged.
const LONGEST: usize = 500;

/// The last error that a client reported about its brokers, which explains the failure of calls that only report a timeout, and the
/// outage of all its brokers. Clones share both.
#[derive(Debug, Clone, Default)]
pub(crate) struct BrokerErrors {
    log: Arc<Mutex<Log>>,
    pub(crate) rebootstrap: Rebootstrap,
}

#[derive(Debug, Default)]
struct Log {
    last_error: Option<(Timestamp, String)>,
    logged: BTreeMap<String, LoggedLine>,
}

/// The time at which a line was logged last, and the number of repetitions since.
#[derive(Debug)]
struct LoggedLine {
    at: Timestamp,
    repeated: u64,
}

impl BrokerErrors {
    /// Returns the context of another client, whose errors explain the failures of the same calls.
    pub(crate) fn for_another_client(&self) -> Self {
        Self {
            log: Arc::clone(&self.log),
            rebootstrap: Rebootstrap::default(),
        }
    }

    /// Returns the last error, unless it is older than `since`.
    pub(crate) fn last_since(&self, since: Timestamp) -> Option<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, text) = log.last_error.as_ref()?;
        (*at >= since).then(|| text.clone())
    }

    /// Returns the last error, unless it is older than `age`.
    pub(crate) fn recent(&self, age: Duration) -> Option<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, text) = log.last_error.as_ref()?;
        (SystemClock.now().since(*at) <= age).then(|| text.clone())
    }

    fn note_error(&self, text: String) {
        self.warn(&text);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.last_error = Some((SystemClock.now(), text));
    }

    /// Logs a line of the client, unless the same line was logged within the interval.
    fn warn(&self, text: &str) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let repeated = log.count_line(SystemClock.now(), text);
        drop(log);
        if let Some(repeated) = repeated {
            let text: String = text.chars().take(LONGEST).collect();
            tracing::warn!(target: "kser_kafka", repeated, "{text}");
        }
    }
}

impl Log {
    /// Counts a line. Returns the number of repetitions since it was logged last, if it should be logged now.
    fn count_line(&mut self, now: Timestamp, text: &str) -> Option<u64> {
        let is_old = |line: &LoggedLine| now.since(line.at) >= REPEAT;
        let line = without_numbers(text);
        let repeated = match self.logged.get_mut(&line) {
            Some(logged) if !is_old(logged) => {
                logged.repeated += 1;
                return None;
            }
            Some(logged) => logged.repeated,
            None => 0,
        };
        if self.logged.len() >= LINES {
            self.logged.retain(|_, line| !is_old(line));
        }
        // So many different lines within the interval tell no more than the first of them.
        if self.logged.len() >= LINES && !self.logged.contains_key(&line) {
            return None;
        }
        self.logged.insert(
            line,
            LoggedLine {
                at: now,
                repeated: 0,
            },
        );
        Some(repeated)
    }
}

/// Removes numbers, such as times, offsets and partitions: without them, lines with the same cause are equal.
fn without_numbers(text: &str) -> String {
    let kept = text.chars().filter(|char| !char.is_ascii_digit());
    kept.take(LONGEST).collect()
}

impl ConsumerContext for BrokerErrors {}

impl ClientContext for BrokerErrors {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Both clients get the settings of the other as well, and warn of them.
        if facility == "CONFWARN" {
            return;
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => self.note_error(format!("{facility}: {message}")),
            // A commit that is refused in a rebalance is repeated. The schedule of commits logs commits that keep failing.
            RDKafkaLogLevel::Warning if facility != "COMMITFAIL" => {
                self.warn(&format!("{facility}: {message}"));
            }
            _ => tracing::debug!(target: "kser_kafka", "{facility}: {message}"),
        }
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        // The reason why no broker is reached comes as an error of its own.
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => drop(self.rebootstrap.note_outage()),
            _ => self.note_error(reason.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_line_that_repeats_is_logged_once_in_ten_seconds() {
        let mut log = Log::default();
        assert_eq!(log.count_line(at(0), "t [1]: offset reset at 5"), Some(0));
        assert_eq!(log.count_line(at(1), "the session has ended"), Some(0));
        // Two that take turns, and one that differs by its numbers.
        assert_eq!(log.count_line(at(2), "t [2]: offset reset at 77"), None);
        assert_eq!(log.count_line(at(3), "the session has ended"), None);
        assert_eq!(log.count_line(at(10), "t [1]: offset reset at 5"), Some(1));
        assert_eq!(log.count_line(at(11), "the session has ended"), Some(1));
        assert_eq!(log.count_line(at(12), "t [1]: offset reset at 5"), None);
    }

    #[test]
    fn many_different_lines_are_not_all_logged() {
        let mut log = Log::default();
        let line = |n: usize| "x".repeat(n);
        let logged = (0..LONGEST).filter(|n| log.count_line(at(0), &line(*n)).is_some());
        assert_eq!(logged.count(), LINES);
        assert_eq!(log.count_line(at(9), "another"), None);
        assert_eq!(log.count_line(at(20), "another"), Some(0));
        assert_eq!(log.logged.len(), 1);
    }
}
