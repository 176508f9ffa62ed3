use std::thread::sleep;
use std::time::{Duration, Instant};

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// The timeout of any wait for a broker. It is reached only if something is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// Retries until `attempt` succeeds. Returns its last error after [`LIMIT`].
pub(crate) fn retry<T>(attempt: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    retry_for(LIMIT, attempt)
}

/// Retries until `attempt` succeeds. Returns its last error after `limit`.
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
