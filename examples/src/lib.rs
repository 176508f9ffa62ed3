//! What the examples share.

/// The transport of an example: `KSER_URL` if it is set, else the one that was built in.
#[must_use]
pub fn url() -> String {
    std::env::var("KSER_URL").unwrap_or_else(|_| "memory://".to_owned())
}

/// Shows the log lines of kser at level INFO, without time and place.
pub fn show_log() {
    tracing_subscriber::fmt()
        .with_target(false)
        .without_time()
        .init();
}
