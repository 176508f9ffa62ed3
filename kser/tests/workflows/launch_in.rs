//! Operations that are launched in a transaction of the program's own.
#![expect(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::time::Duration;

use kser::client::Mode;
use kser::encryption::{Encryption, KeyRing};
use kser::sqlite::SqliteStore;
use kser::sqlite::rusqlite::Connection;
use kser::{Client, Error, Status, Step};
use tokio::time::{Instant, sleep};

use crate::common::{Diary, note, noting};
use crate::sqlite::{File, consume, game, registry};

fn orders(file: &File) -> Connection {
    let orders = Connection::open(file.path()).unwrap();
    orders.busy_timeout(Duration::from_secs(30)).unwrap();
    let sql = "CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY)";
    orders.execute_batch(sql).unwrap();
    orders
}

#[tokio::test(start_paused = true)]
async fn an_operation_begins_exactly_if_the_transaction_commits() -> Result<(), Error> {
    let file = File::new();
    let client = file.client().await?;
    let diary = Diary::default();
    let consumer = consume(&client, registry(&diary, "")?);
    let mut orders = orders(&file);
    // Nothing else is due for a while.
    sleep(Duration::from_secs(300)).await;
    let began = Instant::now();
    for (id, commits) in [("first", false), ("second", true), ("third", false)] {
        let mut transaction = orders.transaction().unwrap();
        let sql = "INSERT INTO orders SELECT count(*) FROM orders";
        transaction.execute(sql, ()).unwrap();
        let launch = client.producer().launch(game()).with_id(id);
        let run = launch.launch_in(&mut transaction).await?;
        let open = run.status().await;
        assert!(matches!(open, Err(Error::UnknownRun { .. })), "{open:?}");
        match commits {
            true => transaction.commit().unwrap(),
            false => transaction.rollback().unwrap(),
        }
    }
    let run = client.runs().wait(&"second".into()).await?;
    assert_eq!(run.status, Status::Success);
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    sleep(Duration::from_secs(300)).await;
    assert_eq!(diary.read().len(), 3, "{:?}", diary.read());
    for id in ["first", "third"] {
        let never = client.runs().status(&id.into()).await;
        assert!(matches!(never, Err(Error::UnknownRun { .. })), "{never:?}");
    }
    let sql = "SELECT count(*) FROM orders";
    let count: i64 = orders.query_row(sql, (), |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
    consumer.abort();
    Ok(())
}

/// The process that has committed does nothing more: the next one has another transport, without a record.
#[tokio::test(start_paused = true)]
async fn an_operation_begins_though_its_process_ends_at_the_commit() -> Result<(), Error> {
    let file = File::new();
    {
        let client = file.client().await?;
        let mut orders = orders(&file);
        let mut transaction = orders.transaction().unwrap();
        let launch = client.producer().launch(game()).with_id("order");
        launch.launch_in(&mut transaction).await?;
        transaction.commit().unwrap();
    }
    let client = file.client().await?;
    let diary = Diary::default();
    let consumer = consume(&client, registry(&diary, "")?);
    let run = client.runs().wait(&"order".into()).await?;
    assert_eq!(run.status, Status::Success);
    assert_eq!(diary.read().len(), 3, "{:?}", diary.read());
    consumer.abort();
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_id_in_two_transactions_is_one_run() -> Result<(), Error> {
    let file = File::new();
    let client = file.client().await?;
    let mut orders = orders(&file);
    for _ in 0..2 {
        let mut transaction = orders.transaction().unwrap();
        let launch = client.producer().launch(game()).with_id("order");
        launch.launch_in(&mut transaction).await?;
        transaction.commit().unwrap();
    }
    let mut transaction = orders.transaction().unwrap();
    let mut other = game();
    other.notes.pop();
    let launch = client.producer().launch(other).with_id("order");
    let refused = launch.launch_in(&mut transaction).await;
    assert!(
        matches!(refused, Err(Error::Conflict { .. })),
        "{refused:?}"
    );
    transaction.rollback().unwrap();
    let diary = Diary::default();
    let consumer = consume(&client, registry(&diary, "")?);
    client.runs().wait(&"order".into()).await?;
    assert_eq!(diary.read().len(), 3, "{:?}", diary.read());
    consumer.abort();
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_transaction_of_another_database_is_refused() -> Result<(), Error> {
    let (file, other, none) = (File::new(), File::new(), File::new());
    let client = file.client().await?;
    let _other = other.client().await?;
    for file in [&other, &none] {
        let mut orders = orders(file);
        let mut transaction = orders.transaction().unwrap();
        let launch = client.producer().launch(game());
        let refused = launch.launch_in(&mut transaction).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    let mut orders = orders(&file);
    let mut transaction = orders.transaction().unwrap();
    let launch = client.producer().launch(game());
    let launch = launch.with_mode(Mode::AtLeastOnce);
    let refused = launch.launch_in(&mut transaction).await;
    assert!(
        matches!(refused, Err(Error::NeedsStore { .. })),
        "{refused:?}"
    );
    Ok(())
}

/// The rows of the transaction are sealed as those that the store writes.
#[tokio::test(start_paused = true)]
async fn a_launch_in_a_transaction_is_encrypted() -> Result<(), Error> {
    let file = File::new();
    let keys = KeyRing::parse("a:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")?;
    let store = SqliteStore::open(file.path()).await?;
    let client = Client::builder_from_url("memory://").store(store);
    let client = client.encryption(Encryption::new(keys)).build().await?;
    let mut orders = orders(&file);
    let mut transaction = orders.transaction().unwrap();
    let steps = vec![Step::new(note("secret word"))];
    let launch = client.producer().launch_steps("test.Run", steps);
    let run = launch.launch_in(&mut transaction).await?;
    transaction.commit().unwrap();
    let diary = Diary::default();
    let consumer = client.consumer(noting(&diary)).spawn();
    assert_eq!(run.result().await?.message(), "secret word");
    consumer.stop().await?;
    drop(client);
    for end in ["", "-wal"] {
        let path = format!("{}{end}", file.path().display());
        let bytes = std::fs::read(path).unwrap();
        let is_secret = |window: &[u8]| window == b"secret word";
        assert!(!bytes.windows(11).any(is_secret), "{end}");
    }
    drop(orders);
    Ok(())
}
