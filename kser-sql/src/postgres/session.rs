//! One connection, from its start to its loss.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, Row, Statement};

use super::config::PostgresConfig;
use super::failure::Failure;

/// The time for an answer. A statement of the store takes milliseconds, unless a server hangs or a table is locked.
const ANSWER: Duration = Duration::from_secs(30);

/// The settings of each connection. The plan of a statement is made once, and reads tables by their indexes in the order of the
/// values that are given: so locks are taken in one order by all, and a plan that was made while the tables were empty is good.
const SETTINGS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off \
    -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off -c default_transaction_isolation=read\\ committed";

/// An open connection, with the statements that it has prepared.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    /// By text.
    prepared: Mutex<BTreeMap<String, Statement>>,
    driver: tokio::task::AbortHandle,
}

/// The end of a connection: the reason for its loss.
pub(super) type Ended = JoinHandle<Failure>;

impl Session {
    /// Connects, and checks that the connection keeps its settings. Notifications wake `notified`. Has to run on the runtime of
    /// the store.
    pub(super) async fn open(
        config: &PostgresConfig,
        notified: Arc<Notify>,
    ) -> Result<(Self, Ended), Failure> {
        let mut client = config.client.clone();
        let token = format!("{:016x}", RandomState::new().hash_one(0_u8));
        let own = client.get_options().unwrap_or_default().to_owned();
        client.options(format!("{own} {SETTINGS} -c kser.connection={token}"));
        #[cfg(feature = "postgres-tls")]
        let connector = super::tls::connector(&config.tls).map_err(Failure::permanent)?;
        #[cfg(not(feature = "postgres-tls"))]
        let connector = tokio_postgres::NoTls;
        let connected = timeout(ANSWER, client.connect(connector));
        let connected = connected
            .await
            .map_err(|_| Failure::lost("the server does not answer a connection"))?;
        let (client, connection) = connected.map_err(refused)?;
        let ended = tokio::spawn(drive(connection, notified));
        let session = Self {
            client,
            prepared: Mutex::default(),
            driver: ended.abort_handle(),
        };
        session.check(&token).await?;
        Ok((session, ended))
    }

    /// Refuses a server that changes nothing, and a pooler, which gives a connection of its own to each transaction.
    async fn check(&self, token: &str) -> Result<(), Failure> {
        let sql = "SELECT current_setting('kser.connection', true), pg_is_in_recovery(), current_setting('server_version_num')::int4";
        // Two transactions: a pooler may use another connection for the second one.
        for _ in 0..2 {
            let row = self.query_unprepared(sql).await?;
            let row = row
                .first()
                .ok_or_else(|| Failure::permanent("no answer to a check"))?;
            let (kept, standby, version): (Option<&str>, bool, i32) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            if version < 130_000 {
                return Err(Failure::permanent("the server is older than PostgreSQL 13"));
            }
            if kept != Some(token) {
                return Err(Failure::permanent(POOLER));
            }
            if standby {
                return Err(Failure::lost(
                    "the server is a standby, which takes no writes",
                ));
            }
        }
        Ok(())
    }

    async fn query_unprepared(&self, sql: &str) -> Result<Vec<Row>, Failure> {
        self.answer(async { Ok(self.client.query_typed(sql, &[]).await?) })
            .await
    }

    /// Executes statements without parameters.
    pub(super) async fn batch(&self, statements: &str) -> Result<(), Failure> {
        self.answer(async { Ok(self.client.batch_execute(statements).await?) })
            .await
    }

    /// Prepares a statement, unless it is prepared.
    pub(super) async fn prepare(&self, sql: &str) -> Result<Statement, Failure> {
        if let Some(statement) = self
            .prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(sql)
        {
            return Ok(statement.clone());
        }
        let statement = self
            .answer(async { Ok(self.client.prepare(sql).await?) })
            .await?;
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Executes a prepared statement: one round trip.
    pub(super) async fn query(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.prepare(sql).await?;
        self.answer(async { Ok(self.client.query(&statement, values).await?) })
            .await
    }

    /// Waits for an answer. A connection that gives none is closed.
    async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout(ANSWER, answer).await.unwrap_or_else(|_| {
            self.driver.abort();
            let text = format!("the server has not answered for {} s", ANSWER.as_secs());
            Err(Failure::lost(text))
        })
    }
}

/// A connection, or a transaction on it, that executes a statement.
pub(super) trait Query: Sync {
    fn rows(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Vec<Row>, Failure>> + Send;
}

impl Query for Session {
    fn rows(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Vec<Row>, Failure>> + Send {
        self.query(sql, values)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

const POOLER: &str = "the connection has not kept its settings: there is a pooler in between, whose transactions share \
    connections; connect to the server itself";

/// Tells a pooler that refuses the settings of a connection from other failures.
fn refused(error: tokio_postgres::Error) -> Failure {
    let refused = error
        .as_db_error()
        .is_some_and(|error| error.message().contains("startup parameter"));
    match refused {
        true => Failure::permanent(POOLER),
        false => error.into(),
    }
}

/// Drives a connection until it is lost, and wakes with each notification.
async fn drive<S, T>(mut connection: Connection<S, T>, notified: Arc<Notify>) -> Failure
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(_))) => notified.notify_one(),
            Some(Ok(_)) => {}
            Some(Err(error)) => return error.into(),
            None => return Failure::lost("the connection was closed"),
        }
    }
}
