//! What the examples share.

pub mod dice;

/// The transport of an example: `KSER_URL` if it is set, else the one that was built in.
#[must_use]
pub fn url() -> String {
    let built_in = match cfg!(feature = "kafka") {
        true => "kafka://localhost:9092?create=6",
        false => "memory://",
    };
    std::env::var("KSER_URL").unwrap_or_else(|_| built_in.to_owned())
}

/// Shows the log lines of kser at level INFO, without time and place.
pub fn show_log() {
    tracing_subscriber::fmt()
        .with_target(false)
        .without_time()
        .init();
}
