use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kser_core::Error;
use kser_core::presence::PRESENCE_EVERY;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

/// The longest pause after announcements that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The announcements of a consumer in its health.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PresenceHealth {
    /// The time since the last announcement; `None` before the first one.
    #[serde(rename = "announced_ms", serialize_with = "millis")]
    pub announced: Option<Duration>,
    /// The error of the latest announcement, with its causes, if it failed. The consumer works without announcements.
    pub error: Option<String>,
}

/// The state of the announcements of a consumer.
#[derive(Debug, Default)]
pub(super) struct Announcements(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    announced: Option<Instant>,
    failures: u32,
    error: Option<String>,
}

impl Announcements {
    /// Notes the end of an announcement, and returns the pause until the next. The first failure in a row is logged.
    pub(super) fn note(&self, announced: Result<(), Error>) -> Duration {
        let mut log = self.log();
        match announced {
            Ok(()) => {
                *log = Log {
                    announced: Some(Instant::now()),
                    ..Log::default()
                };
                PRESENCE_EVERY
            }
            Err(error) => {
                let text = kser_core::log::report(&error);
                if log.failures == 0 {
                    tell(&error, &text);
                }
                log.failures += 1;
                log.error = Some(text);
                PRESENCE_EVERY
                    .saturating_mul(log.failures)
                    .min(LONGEST_PAUSE)
            }
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        let log = self.log();
        log.failures > 0 || log.announced.is_none()
    }

    /// Returns the state for the health; `None` before the end of the first announcement.
    pub(super) fn health(&self) -> Option<PresenceHealth> {
        let log = self.log();
        let health = PresenceHealth {
            announced: log.announced.map(|at| at.elapsed()),
            error: log.error.clone(),
        };
        (health != PresenceHealth::default()).then_some(health)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    clippy::ref_option,
    reason = "serde calls it with a reference to the field"
)]
fn millis<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_millis()).serialize(serializer)
}

fn tell(error: &Error, text: &str) {
    match error {
        Error::MissingTopic { topic } => tracing::info!(
            target: "kser",
            topic,
            "consumers do not announce themselves to operators: topic {topic} does not exist; `ensure_topics` creates it",
        ),
        _ => tracing::warn!(
            target: "kser",
            error = text,
            "announcing the consumer to operators failed; it works on, and tries again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_that_fail_become_rare() {
        let log = Announcements::default();
        assert_eq!(log.health(), None);
        let fail = || log.note(Err(Error::Closed)).as_secs();
        assert_eq!([fail(), fail(), fail()], [5, 10, 15]);
        assert_eq!((0..20).map(|_| fail()).max(), Some(60));
        assert!(log.has_failed() && log.health().is_some_and(|health| health.error.is_some()));
        assert_eq!(log.note(Ok(())), PRESENCE_EVERY);
        assert!(!log.has_failed());
    }
}
