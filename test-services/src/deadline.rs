use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often is looked whether something has happened that nobody tells.
const PAUSE: Duration = Duration::from_millis(10);

/// The longest that any wait for a broker may take. It is never reached unless something is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Tries until it succeeds, and gives the last error after [`LIMIT`].
pub(crate) fn retry<T>(attempt: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    retry_for(LIMIT, attempt)
}

/// Tries until it succeeds, and gives the last error after the limit.
#[expect(clippy::disallowed_methods, reason = "brokers live in real time")]
pub(crate) fn retry_for<T>(
    limit: Duration,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> Result<T, String> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < limit => sleep(PAUSE),
            done => return done,
        }
    }
}
