//! The age of the oldest open transaction of the database, for the health of a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::failure::Failure;
use super::link::Link;
use super::statements::Statements;

/// The pause after a look.
const PAUSE: Duration = Duration::from_secs(1);
/// The age when no transaction is open, or none is known.
const NONE: i64 = -1;

/// The age of the oldest open transaction, as it was at the last look.
#[derive(Debug)]
pub(super) struct OldestSnapshot {
    millis: AtomicI64,
    /// Woken when a caller has asked, so that a store is not looked at whose health is of no interest.
    asked: Notify,
}

impl Default for OldestSnapshot {
    fn default() -> Self {
        Self {
            millis: AtomicI64::new(NONE),
            asked: Notify::new(),
        }
    }
}

impl OldestSnapshot {
    /// Returns the age at the last look, and asks for the next one.
    pub(super) fn age(&self) -> Option<Duration> {
        self.asked.notify_one();
        let millis = u64::try_from(self.millis.load(Ordering::Relaxed));
        millis.ok().map(Duration::from_millis)
    }

    /// Looks after each call that asks, at most once a second, until the runtime ends.
    pub(super) async fn keep(self: Arc<Self>, link: Link, statements: Arc<Statements>) {
        loop {
            self.asked.notified().await;
            // While the database is away, the age is not known.
            let millis = look(&link, &statements).await.unwrap_or(None);
            self.millis.store(millis.unwrap_or(NONE), Ordering::Relaxed);
            sleep(PAUSE).await;
        }
    }
}

async fn look(link: &Link, statements: &Statements) -> Result<Option<i64>, Failure> {
    let session = link.session(Instant::now()).await?;
    let rows = session.query(&statements.oldest_snapshot, &[]).await?;
    match rows.first() {
        Some(row) => Ok(row.try_get(0)?),
        None => Ok(None),
    }
}
