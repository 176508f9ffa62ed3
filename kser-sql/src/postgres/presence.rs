use std::time::Duration;

use async_trait::async_trait;
use kser_core::Error;
use kser_core::presence::{Announced, PRESENCE_KEPT, PresenceStore};

use super::PostgresStore;
use super::columns::wait;
use super::failure::BACKEND;
use super::reads::value;
use crate::encoding::unreadable;

#[async_trait]
impl PresenceStore for PostgresStore {
    async fn announce(&self, consumer: &str, text: String) -> Result<(), Error> {
        let sql = &self.inner.database.statements.announce;
        let kept = wait(PRESENCE_KEPT);
        self.read_rows(sql, &[&consumer.as_bytes(), &text.as_bytes(), &kept])
            .await
            .map(drop)
    }

    async fn withdraw(&self, consumer: &str) -> Result<(), Error> {
        let sql = &self.inner.database.statements.withdraw;
        self.read_rows(sql, &[&consumer.as_bytes()]).await.map(drop)
    }

    async fn list_consumers(&self, within: Duration) -> Result<Vec<Announced>, Error> {
        let sql = &self.inner.database.statements.consumers;
        let rows = self.read_rows(sql, &[&wait(within)]).await?;
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec());
            text.map_err(|_| unreadable(BACKEND, "an announcement"))
        };
        let listed = rows.iter().map(|row| {
            let age: i64 = value(row, 2)?;
            let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
            Ok(Announced::new(
                text(value(row, 0)?)?,
                text(value(row, 1)?)?,
                age,
            ))
        });
        listed.collect()
    }
}
