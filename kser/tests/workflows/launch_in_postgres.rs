//! Operations that are launched in a transaction of the program's own, in PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kser::postgres::PostgresStore;
use kser::postgres::tokio_postgres::{self, NoTls};
use kser::{Client, Error, Status};
use tokio::time::{Instant, sleep};

use crate::common::Diary;
use crate::sqlite::{consume, game, registry};

static MADE: AtomicU32 = AtomicU32::new(0);

/// Returns the URL of a schema of its own.
fn url() -> String {
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let (server, process) = (test_services::postgres().url(), std::process::id());
    format!("{server}?schema=launch_{process}_{number}")
}

/// Connects as a process does that has just started: its transport has no record.
async fn client(url: &str) -> Result<Client, Error> {
    let store = PostgresStore::open(url).await?;
    let client = Client::builder_from_url("memory://").store(store);
    client.build().await
}

/// Connects the program itself.
async fn program() -> tokio_postgres::Client {
    let url = test_services::postgres().url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

test_services::postgres_tests!(
    #[tokio::test]
    async fn an_operation_begins_exactly_if_the_transaction_commits() -> Result<(), Error> {
        let url = url();
        let client = client(&url).await?;
        let diary = Diary::default();
        let consumer = consume(&client, registry(&diary, "")?);
        let mut program = program().await;
        let orders = format!("orders_{}", url.rsplit('_').next().unwrap());
        let sql = format!("CREATE TABLE {orders} (id text)");
        program.batch_execute(&sql).await.unwrap();
        let began = Instant::now();
        for (id, commits) in [("first", false), ("second", true), ("third", false)] {
            let mut transaction = program.transaction().await.unwrap();
            let sql = format!("INSERT INTO {orders} VALUES ($1)");
            transaction.execute(&sql, &[&id]).await.unwrap();
            let launch = client.producer().launch(game()).with_id(id);
            let run = launch.launch_in(&mut transaction).await?;
            let open = run.status().await;
            assert!(matches!(open, Err(Error::UnknownRun { .. })), "{open:?}");
            match commits {
                true => transaction.commit().await.unwrap(),
                false => transaction.rollback().await.unwrap(),
            }
        }
        let run = client.runs().wait(&"second".into()).await?;
        assert_eq!(run.status, Status::Success);
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            began.elapsed()
        );
        sleep(Duration::from_secs(2)).await;
        assert_eq!(diary.read().len(), 3, "{:?}", diary.read());
        for id in ["first", "third"] {
            let never = client.runs().status(&id.into()).await;
            assert!(matches!(never, Err(Error::UnknownRun { .. })), "{never:?}");
        }
        let sql = format!("SELECT id FROM {orders}");
        let rows = program.query(&sql, &[]).await.unwrap();
        let ids: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(ids, ["second"]);
        consumer.abort();
        Ok(())
    }

    /// The process that has committed does nothing more: the next one has another transport, without a record.
    #[tokio::test]
    async fn an_operation_begins_though_its_process_ends_at_the_commit() -> Result<(), Error> {
        let url = url();
        {
            let first = client(&url).await?;
            let mut program = program().await;
            let mut transaction = program.transaction().await.unwrap();
            let launch = first.producer().launch(game()).with_id("order");
            launch.launch_in(&mut transaction).await?;
            transaction.commit().await.unwrap();
        }
        let next = client(&url).await?;
        let diary = Diary::default();
        let consumer = consume(&next, registry(&diary, "")?);
        let run = next.runs().wait(&"order".into()).await?;
        assert_eq!(run.status, Status::Success);
        assert_eq!(diary.read().len(), 3, "{:?}", diary.read());
        consumer.abort();
        Ok(())
    }

    #[tokio::test]
    async fn one_id_in_two_transactions_is_one_run() -> Result<(), Error> {
        let url = url();
        let client = client(&url).await?;
        let mut program = program().await;
        for _ in 0..2 {
            let mut transaction = program.transaction().await.unwrap();
            let launch = client.producer().launch(game()).with_id("order");
            launch.launch_in(&mut transaction).await?;
            transaction.commit().await.unwrap();
        }
        let mut transaction = program.transaction().await.unwrap();
        let mut other = game();
        other.notes.pop();
        let launch = client.producer().launch(other).with_id("order");
        let refused = launch.launch_in(&mut transaction).await;
        assert!(
            matches!(refused, Err(Error::Conflict { .. })),
            "{refused:?}"
        );
        transaction.rollback().await.unwrap();
        let diary = Diary::default();
        let consumer = consume(&client, registry(&diary, "")?);
        client.runs().wait(&"order".into()).await?;
        assert_eq!(diary.read().len(), 3, "{:?}", diary.read());
        consumer.abort();
        Ok(())
    }

    /// The transaction goes on: no statement of it has failed.
    #[tokio::test]
    async fn a_transaction_of_another_database_is_refused() -> Result<(), Error> {
        let client = client(&url()).await?;
        let program = program().await;
        let sql = format!("CREATE DATABASE other_{}", std::process::id());
        program.batch_execute(&sql).await.unwrap();
        let server = test_services::postgres().url();
        let mut config: tokio_postgres::Config = server.parse().unwrap();
        config.dbname(format!("other_{}", std::process::id()));
        let (mut other, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        // Tables of the same names, of another program.
        let sql = "CREATE TABLE meta (name text, value text); CREATE TABLE tombstones (id text)";
        other.batch_execute(sql).await.unwrap();
        let mut transaction = other.transaction().await.unwrap();
        let refused = client.producer().launch(game()).launch_in(&mut transaction);
        let refused = refused.await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
        transaction.execute("SELECT 1", &[]).await.unwrap();
        Ok(())
    }
);
