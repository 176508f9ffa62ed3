use std::sync::atomic::{AtomicU32, Ordering};

static MADE: AtomicU32 = AtomicU32::new(0);

/// Returns the URL of a schema of its own on a server.
pub(crate) fn new(server: &test_services::Postgres) -> String {
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    format!(
        "{}?schema=test_{}_{number}",
        server.url(),
        std::process::id()
    )
}
