use std::time::Duration;

use async_trait::async_trait;
use kser_core::Error;
use kser_core::presence::{Announced, PRESENCE_KEPT, PresenceStore};
use rusqlite::params;

use super::SqliteStore;
use super::waiters::Wake;
use crate::encoding::millis;

#[async_trait]
impl PresenceStore for SqliteStore {
    async fn announce(&self, consumer: &str, text: String) -> Result<(), Error> {
        let (id, now) = (consumer.to_owned(), millis(self.now()));
        let kept = i64::try_from(PRESENCE_KEPT.as_millis()).unwrap_or(i64::MAX);
        let announce = move |connection: &rusqlite::Connection| {
            let mut forget =
                connection.prepare_cached("DELETE FROM kser_consumers WHERE written < ?1")?;
            forget.execute(params![now.saturating_sub(kept)])?;
            let mut write = connection.prepare_cached(
                "INSERT INTO kser_consumers VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET written = excluded.written, announcement = excluded.announcement",
            )?;
            write.execute(params![id, now, text])?;
            Ok(((), Wake::default()))
        };
        Ok(self.inner.database.write(announce).await?)
    }

    async fn withdraw(&self, consumer: &str) -> Result<(), Error> {
        let id = consumer.to_owned();
        let withdraw = move |connection: &rusqlite::Connection| {
            let mut remove =
                connection.prepare_cached("DELETE FROM kser_consumers WHERE id = ?1")?;
            remove.execute(params![id])?;
            Ok(((), Wake::default()))
        };
        Ok(self.inner.database.write(withdraw).await?)
    }

    async fn list_consumers(&self, within: Duration) -> Result<Vec<Announced>, Error> {
        let now = millis(self.now());
        let within = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
        let read = move |connection: &rusqlite::Connection| {
            let mut list = connection.prepare_cached(
                "SELECT id, announcement, written FROM kser_consumers WHERE written >= ?1 ORDER BY id",
            )?;
            let rows = list.query_map(params![now.saturating_sub(within)], |row| {
                let age = u64::try_from(now.saturating_sub(row.get(2)?)).unwrap_or(0);
                let age = Duration::from_millis(age);
                Ok(Announced::new(row.get(0)?, row.get(1)?, age))
            })?;
            rows.collect()
        };
        Ok(self.inner.database.read(read).await?)
    }
}
