use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kser_clock::SystemClock;
use kser_core::{Clock, Timestamp};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// How often the same line is logged at most, in milliseconds. A client says some of them twenty times a second.
const REPEAT_MS: u64 = 10_000;

/// What a client was told about its brokers: kept for the errors of calls that only know that time is up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Last>>);

#[derive(Debug, Default)]
struct Last {
    trouble: Option<(Timestamp, String)>,
    logged: Option<(Timestamp, String)>,
}

impl Heard {
    /// Returns the last trouble, if it is not older than `since`.
    pub(crate) fn since(&self, since: Timestamp) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, text) = last.trouble.as_ref()?;
        (*at >= since).then(|| text.clone())
    }

    /// Returns the last trouble, if it is not older than this.
    pub(crate) fn lately(&self, age: Duration) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, text) = last.trouble.as_ref()?;
        (SystemClock.now().since(*at) <= age).then(|| text.clone())
    }

    fn trouble(&self, text: String) {
        let now = SystemClock.now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.says_again(now, &text) {
            tracing::warn!(target: "kser_kafka", "{text}");
        }
        last.trouble = Some((now, text));
    }
}

impl Last {
    fn says_again(&mut self, now: Timestamp, text: &str) -> bool {
        let said = self.logged.as_ref();
        if said.is_some_and(|(at, said)| {
            said == text && u128::from(REPEAT_MS) > now.since(*at).as_millis()
        }) {
            return false;
        }
        self.logged = Some((now, text.to_owned()));
        true
    }
}

impl ConsumerContext for Heard {}

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Settings of the consumer are given to the producer too, and the other way round.
        if facility == "CONFWARN" {
            return;
        }
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => self.trouble(format!("{facility}: {message}")),
            _ => tracing::debug!(target: "kser_kafka", "{facility}: {message}"),
        }
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        // That no broker is reached says less than why.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.trouble(reason.to_owned());
        }
    }
}
